//! `mayfly d1`: what an operator does with D1 databases while no server runs.
//!
//! The configuration says which database a name means and where its migrations lie. SQL from here passes the
//! same guard as SQL of Workers, so that what works here works there; only its time has no bound. The folder's
//! lock is taken first. `d1/migrations` finds and applies, `d1/print` shows rows.
//!
//! Invariant: what is run at once is one transaction.

mod migrations;
mod print;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mayfly_config::{BindingValue, Config, D1Database};
use mayfly_store::Store;
use mayfly_store::d1::{Blank, D1, Query, Refused, Taker, split};

use crate::args::d1::{D1Args, D1Command, ExecuteArgs, MigrationsCommand};
use crate::exit::Exit;
use crate::state::{FOLDER, explain};

/// What wrangler looks for as well.
const CONFIGS: [&str; 3] = ["wrangler.jsonc", "wrangler.json", "wrangler.toml"];

/// Characters of a statement that are shown of it.
const SHOWN_CHARS: usize = 60;

/// Does it.
pub fn d1(arguments: &D1Args) -> Result<(), Exit> {
    match &arguments.command {
        D1Command::Migrations { command } => match command {
            MigrationsCommand::List { name } => migrations::list(&Opened::new(arguments, name)?),
            MigrationsCommand::Apply { name } => migrations::apply(&Opened::new(arguments, name)?),
        },
        D1Command::Execute(execute) => run(arguments, execute),
    }
}

/// A database that is open, with what the configuration says of it.
struct Opened {
    database: D1,
    configured: D1Database,
    /// The folder of the configuration.
    root: PathBuf,
    /// Holds the folder's lock.
    _store: Arc<Store>,
}

impl Opened {
    fn new(arguments: &D1Args, name: &str) -> Result<Self, Exit> {
        let file = match &arguments.config {
            Some(file) => file.clone(),
            None => found_config()?,
        };
        let (config, _) = Config::load_environment(&file, arguments.env.as_deref())?;
        let configured = find(&config, name)?;
        let state = match &arguments.state {
            Some(state) => state.clone(),
            None => config.root.join(FOLDER),
        };
        let store = Store::open(&state).map_err(|error| explain(&error))?;
        let database = D1::open_unhurried(&store, &configured.id);
        Ok(Self {
            database: database.map_err(|error| explain(&error))?,
            configured,
            root: config.root,
            _store: store,
        })
    }

    fn run(&self, queries: &[Query], taker: &mut dyn Taker) -> Result<(), Refused> {
        self.database
            .run(queries, Blank::Refused, taker)
            .map(|_| ())
    }
}

fn found_config() -> Result<PathBuf, Exit> {
    let found = CONFIGS.iter().map(Path::new).find(|path| path.is_file());
    found.map(Path::to_owned).ok_or_else(|| {
        let names = CONFIGS.join(", ");
        Exit::Refused(format!(
            "there is none of {names} here: name one with --config"
        ))
    })
}

/// The database that `name` means: one's `database_name`, else a binding, else an id.
fn find(config: &Config, name: &str) -> Result<D1Database, Exit> {
    let databases = || {
        let bindings = config.bindings.iter();
        bindings.filter_map(|binding| match &binding.value {
            BindingValue::D1(database) => Some((binding.name.as_str(), database)),
            _ => None,
        })
    };
    let found = databases()
        .find(|(_, database)| database.name.as_deref() == Some(name))
        .or_else(|| databases().find(|(binding, _)| *binding == name))
        .or_else(|| databases().find(|(_, database)| database.id == name));
    if let Some((_, database)) = found {
        return Ok(database.clone());
    }
    let known: Vec<&str> = databases()
        .map(|(binding, database)| database.name.as_deref().unwrap_or(binding))
        .collect();
    let near = mayfly_config::nearest::among(name, known.iter().copied());
    let path = config.path.display();
    Err(Exit::Definition(match known.as_slice() {
        [] => format!("{path}: d1_databases: there is no database \"{name}\", nor any other"),
        known => format!(
            "{path}: d1_databases: there is no database \"{name}\"{near}; there are: {}",
            known.join(", ")
        ),
    }))
}

fn run(arguments: &D1Args, execute: &ExecuteArgs) -> Result<(), Exit> {
    let sql = match (&execute.command, &execute.file) {
        (Some(sql), _) => sql.clone(),
        (None, Some(file)) => read(file)?,
        // clap wants one of them.
        (None, None) => String::new(),
    };
    let queries = queries(&sql);
    let opened = Opened::new(arguments, &execute.name)?;
    let mut rows = print::Printed::default();
    opened
        .run(&queries, &mut rows)
        .map_err(|refused| failed(&queries, &refused))?;
    rows.print(execute.json);
    Ok(())
}

fn read(path: &Path) -> Result<String, Exit> {
    std::fs::read_to_string(path).map_err(|source| Exit::File {
        path: path.to_owned(),
        source,
    })
}

/// A text as one query a statement. A dump stands in a transaction of its own, which all that is run here has
/// anyway.
fn queries(sql: &str) -> Vec<Query> {
    let mut statements = split(sql);
    let is = |words: &'static [&str]| {
        move |statement: &&str| {
            let text = statement.trim().trim_end_matches(';').trim_end();
            words.iter().any(|word| word.eq_ignore_ascii_case(text))
        }
    };
    let begins = is(&["BEGIN", "BEGIN TRANSACTION"]);
    let ends = is(&["COMMIT", "COMMIT TRANSACTION", "END", "END TRANSACTION"]);
    let count = |of: &dyn Fn(&&str) -> bool| statements.iter().filter(|one| of(one)).count();
    if count(&begins) == 1 && count(&ends) == 1 {
        statements.retain(|one| !begins(one) && !ends(one));
    }
    let query = |sql: &str| Query {
        sql: sql.to_owned(),
        params: Vec::new(),
    };
    statements.into_iter().map(query).collect()
}

/// Which statement failed, and that nothing happened.
fn failed(queries: &[Query], refused: &Refused) -> Exit {
    let Some(query) = queries.get(refused.at) else {
        return Exit::Sql(refused.message.clone());
    };
    let text = query.sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    let (number, count) = (refused.at + 1, queries.len());
    let message = &refused.message;
    Exit::Sql(format!(
        "{message} (statement {number} of {count}: {}); nothing was changed",
        print::plain(&shown)
    ))
}

#[cfg(test)]
mod tests {
    use super::queries;

    #[test]
    fn the_transaction_around_a_dump_is_left_out() {
        let texts = |sql: &str| -> Vec<String> {
            let queries = queries(sql).into_iter();
            queries.map(|query| query.sql.trim().to_owned()).collect()
        };
        let dump = "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE a(b);\nCOMMIT;\n";
        assert_eq!(
            texts(dump),
            ["PRAGMA foreign_keys=OFF;", "CREATE TABLE a(b);"]
        );
        // Several are somebody's own, and refused where they run.
        assert_eq!(texts("BEGIN; END; BEGIN; END").len(), 4);
        assert_eq!(texts("SELECT 'BEGIN'; COMMIT").len(), 2);
    }
}
