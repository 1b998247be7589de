//! What SQL of a Worker's may do: SQLite asks here while it compiles a statement.
//!
//! Everything is refused that could leave the database (other files, extensions, virtual tables but
//! for full-text search and R*Trees), change how it is kept (most PRAGMAs, transactions by hand), or
//! touch our own tables, whose names begin with `_cf_`. A query that runs too long is interrupted.
//!
//! Invariant: what has no row here is refused.

use crate::lock::Mutex;
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long one question of an object's may keep SQLite busy.
pub const QUERY_TIME_MAX: Duration = Duration::from_secs(10);

/// Instructions of SQLite's machine between two looks at the clock: some tens of microseconds.
const OPS_PER_LOOK: i32 = 5000;

/// What a query hears that ran too long.
pub const TOO_LONG: &str = "the SQL query ran for more than 10 seconds, or for longer than its invocation may compute, and was \
     interrupted: SQLITE_INTERRUPT";

const NO_TRANSACTIONS: &str = "To execute a transaction, please use the state.storage.transaction() or \
    state.storage.transactionSync() APIs instead of the SQL BEGIN TRANSACTION or SAVEPOINT \
    statements. The JavaScript API is safer because it will automatically roll back on exceptions, \
    and because it interacts correctly with Durable Objects' automatic atomic write coalescing.";

/// Functions that a Worker may call, as Cloudflare allows them.
const FUNCTIONS: &[&str] = &[
    // scalar
    "abs",
    "changes",
    "char",
    "coalesce",
    "concat",
    "concat_ws",
    "format",
    "glob",
    "hex",
    "ifnull",
    "iif",
    "if",
    "instr",
    "last_insert_rowid",
    "length",
    "like",
    "likelihood",
    "likely",
    "lower",
    "ltrim",
    "max",
    "min",
    "nullif",
    "octet_length",
    "printf",
    "quote",
    "random",
    "randomblob",
    "replace",
    "round",
    "rtrim",
    "sign",
    "soundex",
    "substr",
    "substring",
    "total_changes",
    "trim",
    "typeof",
    "unhex",
    "unicode",
    "unlikely",
    "upper",
    "zeroblob",
    "unistr",
    "unistr_quote",
    // dates
    "date",
    "time",
    "datetime",
    "julianday",
    "unixepoch",
    "strftime",
    "timediff",
    "current_date",
    "current_time",
    "current_timestamp",
    // aggregates and windows
    "avg",
    "count",
    "group_concat",
    "string_agg",
    "sum",
    "total",
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
    "median",
    "percentile",
    "percentile_cont",
    "percentile_disc",
    // mathematics
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "ceil",
    "ceiling",
    "cos",
    "cosh",
    "degrees",
    "exp",
    "floor",
    "ln",
    "log",
    "log10",
    "log2",
    "mod",
    "pi",
    "pow",
    "power",
    "radians",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
    // JSON
    "json",
    "jsonb",
    "json_array",
    "jsonb_array",
    "json_array_length",
    "json_error_position",
    "json_extract",
    "jsonb_extract",
    "->",
    "->>",
    "json_insert",
    "jsonb_insert",
    "json_object",
    "jsonb_object",
    "json_patch",
    "jsonb_patch",
    "json_pretty",
    "json_remove",
    "jsonb_remove",
    "json_replace",
    "jsonb_replace",
    "json_set",
    "jsonb_set",
    "json_type",
    "json_valid",
    "json_quote",
    "json_group_array",
    "jsonb_group_array",
    "json_group_object",
    "jsonb_group_object",
    "json_each",
    "json_tree",
    // full-text search and R*Trees
    "match",
    "highlight",
    "bm25",
    "snippet",
    "rtreecheck",
    // SQLite's own ALTER TABLE calls these
    "sqlite_rename_column",
    "sqlite_rename_table",
    "sqlite_rename_test",
    "sqlite_drop_column",
    "sqlite_rename_quotefix",
];

/// A table that rusqlite's SQLite has of itself: it shows the pages of every table, ours included.
const PAGES_TABLE: &str = "dbstat";

const MODULES: &[&str] = &["fts5", "fts5vocab", "rtree", "rtree_i32"];

#[derive(Debug, Clone, Copy)]
enum Value {
    /// May only be read.
    None,
    Boolean,
    Name,
    OptionalName,
    OptionalNumber,
    OptionalNumberOrName,
}

const PRAGMAS: &[(&str, Value)] = &[
    ("data_version", Value::None),
    // R*Trees ask for it.
    ("page_size", Value::None),
    ("table_list", Value::OptionalName),
    ("table_info", Value::Name),
    ("table_xinfo", Value::Name),
    ("case_sensitive_like", Value::Boolean),
    ("foreign_keys", Value::Boolean),
    ("defer_foreign_keys", Value::Boolean),
    ("ignore_check_constraints", Value::Boolean),
    ("legacy_alter_table", Value::Boolean),
    ("recursive_triggers", Value::Boolean),
    ("reverse_unordered_selects", Value::Boolean),
    ("foreign_key_check", Value::OptionalName),
    ("foreign_key_list", Value::Name),
    ("index_info", Value::Name),
    ("index_list", Value::Name),
    ("index_xinfo", Value::Name),
    ("quick_check", Value::OptionalNumberOrName),
    ("optimize", Value::OptionalNumber),
];

/// When a question began.
#[derive(Debug, Clone, Copy)]
struct Began {
    at: Instant,
    /// The CPU time that its thread had used.
    cpu: Duration,
    /// What it may use.
    cpu_max: Option<Duration>,
}

impl Began {
    fn is_too_long(&self, time_max: Duration) -> bool {
        let over = |max| thread_cpu().saturating_sub(self.cpu) > max;
        self.at.elapsed() > time_max || self.cpu_max.is_some_and(over)
    }
}

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// See the file's head.
#[derive(Debug)]
pub struct Guard {
    /// How long one question may keep SQLite busy.
    time_max: Duration,
    /// SQL of ours runs.
    trusted: AtomicU32,
    /// A table was altered, perhaps renamed: SQLite does not tell to what.
    altered: AtomicBool,
    /// A PRAGMA was set, which lasts as long as the connection.
    configured: AtomicBool,
    /// Why the last statement was refused, where SQLite's own words would not do.
    reason: Mutex<Option<String>>,
    began: Mutex<Option<Began>>,
}

/// While it lives, everything is allowed.
pub struct Trust<'a>(&'a Guard);

impl Drop for Trust<'_> {
    fn drop(&mut self) {
        self.0.trusted.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Guard {
    /// Watches `connection` from now on.
    pub fn install(connection: &mut Connection, time_max: Duration) -> rusqlite::Result<Arc<Self>> {
        let guard = Arc::new(Self {
            time_max,
            trusted: AtomicU32::default(),
            altered: AtomicBool::default(),
            configured: AtomicBool::default(),
            reason: Mutex::default(),
            began: Mutex::default(),
        });
        let asked = guard.clone();
        connection.authorizer(Some(move |context: AuthContext<'_>| asked.judge(&context)))?;
        let looked = guard.clone();
        connection.progress_handler(OPS_PER_LOOK, Some(move || looked.is_too_long()))?;
        Ok(guard)
    }

    /// Lets SQL of ours pass.
    pub fn trust(&self) -> Trust<'_> {
        self.trusted.fetch_add(1, Ordering::Relaxed);
        Trust(self)
    }

    /// The clocks of one question start; it may use so much of this thread's CPU time.
    pub fn begin(&self, cpu_max: Option<Duration>) {
        *self.began.lock() = Some(Began {
            at: Instant::now(),
            cpu: thread_cpu(),
            cpu_max,
        });
        self.altered.store(false, Ordering::Relaxed);
        *self.reason.lock() = None;
    }

    /// Whether a statement since `begin` may have renamed a table.
    pub fn has_altered(&self) -> bool {
        self.altered.load(Ordering::Relaxed)
    }

    /// Whether the connection is other than a fresh one would be.
    pub fn is_configured(&self) -> bool {
        self.configured.load(Ordering::Relaxed)
    }

    /// As [`Self::is_configured`], and from now on it is as a fresh one: its caller sees to that.
    pub fn take_configured(&self) -> bool {
        self.configured.swap(false, Ordering::Relaxed)
    }

    /// Better words for the last refusal.
    pub fn take_reason(&self) -> Option<String> {
        self.reason.lock().take()
    }

    /// Whether the question has had its time. SQLite asks while it runs a statement, not between two.
    pub fn is_too_long(&self) -> bool {
        self.trusted.load(Ordering::Relaxed) == 0
            && self
                .began
                .lock()
                .is_some_and(|began| began.is_too_long(self.time_max))
    }

    fn judge(&self, context: &AuthContext<'_>) -> Authorization {
        if self.trusted.load(Ordering::Relaxed) > 0 || self.allows(context) {
            Authorization::Allow
        } else {
            Authorization::Deny
        }
    }

    fn allows(&self, context: &AuthContext<'_>) -> bool {
        let AuthContext {
            action,
            database_name,
            ..
        } = context;
        match (action, database_name) {
            // Its database is the first argument, and what rusqlite calls the database is none.
            (
                AuthAction::AlterTable {
                    database_name,
                    table_name,
                },
                _,
            ) => {
                self.altered.store(true, Ordering::Relaxed);
                *database_name == "main" && is_free(table_name)
            }
            // SQLite looks there while it alters a table.
            (
                AuthAction::Read { table_name, .. } | AuthAction::Update { table_name, .. },
                Some("temp"),
            ) => is_free(table_name),
            (_, None | Some("main")) => self.allows_in_main(action),
            _ => false,
        }
    }

    fn allows_in_main(&self, action: &AuthAction<'_>) -> bool {
        match action {
            AuthAction::Read { table_name, .. } if table_name.eq_ignore_ascii_case(PAGES_TABLE) => {
                false
            }
            AuthAction::Select | AuthAction::Recursive | AuthAction::Analyze { .. } => true,
            AuthAction::CreateTable { table_name: name }
            | AuthAction::Delete { table_name: name }
            | AuthAction::DropTable { table_name: name }
            | AuthAction::Insert { table_name: name }
            | AuthAction::CreateView { view_name: name }
            | AuthAction::DropView { view_name: name }
            | AuthAction::Reindex { index_name: name }
            | AuthAction::Read {
                table_name: name, ..
            }
            | AuthAction::Update {
                table_name: name, ..
            } => is_free(name),
            AuthAction::CreateIndex {
                index_name: name,
                table_name,
            }
            | AuthAction::DropIndex {
                index_name: name,
                table_name,
            }
            | AuthAction::CreateTrigger {
                trigger_name: name,
                table_name,
            }
            | AuthAction::DropTrigger {
                trigger_name: name,
                table_name,
            } => is_free(name) && is_free(table_name),
            AuthAction::CreateVtable {
                table_name,
                module_name,
            }
            | AuthAction::DropVtable {
                table_name,
                module_name,
            } => {
                is_free(table_name)
                    && MODULES
                        .iter()
                        .any(|module| module.eq_ignore_ascii_case(module_name))
            }
            AuthAction::Function { function_name } => FUNCTIONS
                .iter()
                .any(|function| function.eq_ignore_ascii_case(function_name)),
            AuthAction::Pragma {
                pragma_name,
                pragma_value,
            } => {
                if pragma_value.is_some() {
                    self.configured.store(true, Ordering::Relaxed);
                }
                allows_pragma(pragma_name, *pragma_value)
            }
            AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => {
                *self.reason.lock() = Some(NO_TRANSACTIONS.to_owned());
                false
            }
            _ => false,
        }
    }
}

/// Whether a name is not one of ours.
pub fn is_free(name: &str) -> bool {
    !name
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("_cf_"))
}

fn allows_pragma(name: &str, value: Option<&str>) -> bool {
    let Some((_, kind)) = PRAGMAS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
    else {
        return false;
    };
    match (kind, value) {
        (Value::Name, None) => false,
        (_, None) => true,
        (Value::None, Some(_)) => false,
        (Value::Boolean, Some(value)) => is_boolean(value),
        (Value::Name | Value::OptionalName, Some(value)) => is_free(value),
        (Value::OptionalNumber, Some(value)) => is_number(value),
        (Value::OptionalNumberOrName, Some(value)) => is_number(value) || is_free(value),
    }
}

fn is_number(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).is_ok(),
        None => digits.parse::<u64>().is_ok(),
    }
}

fn is_boolean(value: &str) -> bool {
    let inside = ['\'', '"']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(value);
    ["true", "false", "yes", "no", "on", "off", "1", "0"]
        .iter()
        .any(|word| word.eq_ignore_ascii_case(inside.trim()))
}
