//! From the tree to a [`Config`]: which keys there are, of which type, with which values.
//!
//! Every problem is noted and reading goes on, so that one run tells all of them. `fields` has the
//! small typed readers; this file has what wrangler's keys mean.
//!
//! Invariant: a Config is only made when nothing was noted as an error.

mod actors;
mod assets;
mod others;

use std::path::{Path, PathBuf};

use mayfly_wire::{Limits, ModuleKind};

use crate::compat::{self, Date, Experimental};
use crate::config::{
    Binding, BindingValue, Build, Caps, Config, Cron, Define, Dev, ModuleOptions, Outbound,
    QueueConsumer, Rule, S3Bucket, ServiceTarget,
};
use crate::fields::{Field, Reader};
use crate::keys::{self, Effect, Scope};
use crate::nearest;
use crate::report::{ConfigError, Position, Warning};
use crate::syntax::{Entry, Source, Value};

/// The longest name of a Worker: a DNS label's length, as it becomes part of a host name.
const NAME_CHARS_MAX: usize = 63;

/// What one invocation may be allowed at most: five minutes of CPU.
const CPU_MS_MAX: u32 = 300_000;

/// Sub-requests that one invocation may be allowed at most.
const SUB_REQUESTS_MAX: u32 = 10_000_000;

/// What an invocation may take at most: a day.
const WALL_MS_MAX: u32 = 24 * 60 * 60 * 1000;

/// Less than this the platform itself has no room in.
const MEMORY_MB_MIN: u32 = 16;

/// More than the engine can address in its heap.
const MEMORY_MB_MAX: u32 = 4095;

/// More than any pool has processes for.
const WORKERS_IN_FLIGHT_MAX: u32 = 100_000;

/// Cloudflare's ids are 32 hexadecimal digits; whoever hosts themselves may write words.
const ID_CHARS_MAX: usize = 64;

const RULE_TYPES: &[(&str, ModuleKind)] = &[
    ("ESModule", ModuleKind::Js {}),
    ("CommonJS", ModuleKind::CommonJs {}),
    ("CompiledWasm", ModuleKind::Wasm {}),
    ("Text", ModuleKind::Text {}),
    ("Data", ModuleKind::Data {}),
];

/// Checks a parsed file.
pub fn config(
    source: &Source,
    environment: Option<&str>,
) -> Result<(Config, Vec<Warning>), ConfigError> {
    let entries = source.parse()?;
    let mut reader = Reader::new(source);
    let root = fields(&mut reader, &entries, environment);
    let config = read_all(&mut reader, &root, environment);
    reader.finish(config)
}

/// The keys that count, after `env.NAME` was laid over the top.
struct Root<'a>(Vec<Field<'a>>);

impl<'a> Root<'a> {
    fn get(&self, name: &str) -> Option<&Field<'a>> {
        self.0.iter().find(|field| field.name() == name)
    }
}

fn fields<'a>(
    reader: &mut Reader<'_>,
    entries: &'a [Entry],
    environment: Option<&str>,
) -> Root<'a> {
    let top: Vec<Field<'a>> = entries.iter().map(|entry| Field::new("", entry)).collect();
    check_keys(reader, &top, Level::Top);
    let Some(name) = environment else {
        return Root(top);
    };
    let Some(own) = environment_fields(reader, &top, name) else {
        return Root(top);
    };
    check_keys(reader, &own, Level::Environment);
    let taken_over = top.into_iter().filter(|field| {
        let overridden = own.iter().any(|other| other.name() == field.name());
        let scope = keys::find(field.name()).map(|key| key.scope);
        if scope == Some(Scope::PerEnvironment) && !overridden {
            let message = format!("is not inherited by env.{name}, which does not set it");
            reader.warn(field, message);
        }
        !overridden && scope != Some(Scope::PerEnvironment)
    });
    let mut all: Vec<Field<'a>> = taken_over.collect();
    all.extend(own);
    Root(all)
}

fn environment_fields<'a>(
    reader: &mut Reader<'_>,
    top: &[Field<'a>],
    name: &str,
) -> Option<Vec<Field<'a>>> {
    let Some(all) = top.iter().find(|field| field.name() == "env") else {
        reader.error_at_start(format!(
            "there is no environment \"{name}\": no `env` is given"
        ));
        return None;
    };
    let environments = reader.table(all)?;
    match environments.iter().find(|field| field.name() == name) {
        Some(found) => reader.table(found),
        None => {
            let names = environments.iter().map(Field::name);
            let near = nearest::among(name, names.clone());
            let known: Vec<&str> = names.collect();
            let known = known.join(", ");
            let message = format!("there is no environment \"{name}\"{near}; there are: {known}");
            reader.error(all, message);
            None
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Top,
    Environment,
}

fn check_keys(reader: &mut Reader<'_>, fields: &[Field<'_>], level: Level) {
    for field in fields {
        let Some(key) = keys::find(field.name()) else {
            let near = nearest::among(field.name(), keys::KEYS.iter().map(|key| key.name));
            reader.error_at_key(field, format!("is not a key of a wrangler file{near}"));
            continue;
        };
        match (key.scope, key.effect) {
            (Scope::TopOnly, _) if level == Level::Environment => {
                reader.error_at_key(field, "may only stand at the top of the file".to_owned());
            }
            (_, Effect::Supported) => {}
            (_, Effect::NotYet) => {
                reader.warn(
                    field,
                    "is known but not supported yet; it is ignored".to_owned(),
                );
            }
            (_, Effect::Hosting) => {
                let message = "is about hosting on Cloudflare; it has no effect here".to_owned();
                reader.warn(field, message);
            }
        }
    }
}

fn read_all(reader: &mut Reader<'_>, root: &Root<'_>, environment: Option<&str>) -> Option<Config> {
    let path = reader.source().path.clone();
    // A bare file name has an empty parent, which is no folder that can be read.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_owned);
    let name = read_name(reader, root, environment);
    let build = read_build(reader, root, &folder);
    let main = read_main(reader, root, &folder, build.is_some());
    let compat = read_compat(reader, root);
    let bindings = read_bindings(reader, root);
    let required_secrets = read_required_secrets(reader, root);
    let entries = tables(reader, root, "migrations");
    let migrations = actors::migrations(reader, &entries);
    let modules = read_modules(reader, root, &folder, main.as_deref());
    let outbound = read_outbound(reader, root);
    let limits = read_limits(reader, root);
    let tails = read_tails(reader, root, "tail_consumers");
    let streaming_tails = read_tails(reader, root, "streaming_tail_consumers");
    let assets = root
        .get("assets")
        .and_then(|field| assets::read(reader, field, &folder));
    let consumers = read_consumers(reader, root);
    let crons = read_crons(reader, root);
    let caps = read_caps(reader, root.get("mayfly_limits"), &[]);
    let dev = read_dev(reader, root);
    let (compatibility_date, compatibility_flags, enabled_flags) = compat?;
    Some(Config {
        name_at: reader.place_of(root.get("name")),
        main_at: reader.place_of(root.get("main")),
        path,
        root: folder,
        name: name?,
        main,
        build,
        compatibility_date,
        compatibility_flags,
        enabled_flags,
        bindings,
        required_secrets,
        migrations,
        modules,
        outbound,
        limits,
        tails,
        streaming_tails,
        assets,
        consumers,
        crons,
        caps,
        dev,
    })
}

fn read_name(
    reader: &mut Reader<'_>,
    root: &Root<'_>,
    environment: Option<&str>,
) -> Option<String> {
    let Some(field) = root.get("name") else {
        return Some("worker".to_owned());
    };
    let name = reader.string(field)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(allowed) {
        reader.error(
            field,
            format!(
                "must be 1 to {NAME_CHARS_MAX} letters, digits, dashes and underscores, \
                 not \"{name}\""
            ),
        );
        return None;
    }
    // A name of the environment's own is taken as it is; the top's gets the environment's added.
    let own = !field.key.is_empty() && field.key != "name";
    Some(match environment {
        Some(environment) if !own => format!("{name}-{environment}"),
        _ => name,
    })
}

/// `None` is an error, or a Worker that is nothing but its assets.
fn read_main(
    reader: &mut Reader<'_>,
    root: &Root<'_>,
    folder: &Path,
    built: bool,
) -> Option<PathBuf> {
    let Some(field) = root.get("main") else {
        if root.get("assets").is_none() {
            let message = "`main` is missing: the path of the Worker's main module";
            reader.error_at_start(message.to_owned());
        }
        return None;
    };
    let main = folder.join(reader.string(field)?);
    if !built && !main.is_file() {
        let message = format!("there is no file {}", main.display());
        reader.error(field, message);
        return None;
    }
    Some(main)
}

fn read_build(reader: &mut Reader<'_>, root: &Root<'_>, folder: &Path) -> Option<Build> {
    let field = root.get("build")?;
    let fields = reader.table_of(field, &["command", "cwd", "watch_dir"])?;
    let command = fields.iter().find(|field| field.name() == "command")?;
    let cwd = reader.optional_string(&fields, "cwd")?;
    Some(Build {
        command: reader.string(command)?,
        folder: cwd.map_or_else(|| folder.to_owned(), |cwd| folder.join(cwd)),
        at: reader.place_of(Some(command)),
    })
}

type Compat = (String, Vec<String>, Vec<&'static str>);

fn read_compat(reader: &mut Reader<'_>, root: &Root<'_>) -> Option<Compat> {
    let date_field = root.get("compatibility_date");
    let date = match date_field {
        Some(field) => reader.string(field)?,
        None => {
            let today = Date::today().to_string();
            let message = format!("`compatibility_date` is missing; today's is used: {today}");
            reader.warn_at_start(message);
            today
        }
    };
    let flag_fields = match root.get("compatibility_flags") {
        Some(field) => reader.list(field)?,
        None => Vec::new(),
    };
    let flags: Option<Vec<String>> = flag_fields.iter().map(|flag| reader.string(flag)).collect();
    let flags = flags?;
    // Whoever writes the configuration runs the host: experiments are theirs to make.
    match compat::resolve(&date, &flags, Experimental::Allowed) {
        Ok(enabled) => Some((date, flags, enabled)),
        Err(error) => {
            let index = flags
                .iter()
                .rposition(|flag| Some(flag.as_str()) == error.flag());
            let field = index
                .and_then(|index| flag_fields.get(index))
                .or(date_field);
            match field {
                Some(field) => reader.error(field, error.to_string()),
                None => reader.error_at_start(error.to_string()),
            }
            None
        }
    }
}

fn read_bindings(reader: &mut Reader<'_>, root: &Root<'_>) -> Vec<Binding> {
    let mut bindings: Vec<Binding> = Vec::new();
    if let Some(vars) = root.get("vars").and_then(|field| reader.table(field)) {
        for field in vars {
            let value = match &field.node.value {
                Value::String(text) => BindingValue::Text(text.clone()),
                _ => BindingValue::Json(field.node.to_json()),
            };
            let name = field.name().to_owned();
            add_binding(reader, &mut bindings, &field, name, value);
        }
    }
    for item in tables(reader, root, "services") {
        let allowed = [
            "binding",
            "service",
            "entrypoint",
            "props",
            "environment",
            "remote",
        ];
        let Some(fields) = reader.table_of(&item, &allowed) else {
            continue;
        };
        warn_of_others(reader, &fields, &["environment", "remote"]);
        let name = reader.required_string(&item, &fields, "binding");
        let target = read_target(reader, &item, &fields);
        if let (Some(name), Some(target)) = (name, target) {
            let value = BindingValue::Service(target);
            add_binding(reader, &mut bindings, &item, name, value);
        }
    }
    let objects = root.get("durable_objects");
    for (item, name, target) in actors::bindings(reader, objects) {
        add_binding(
            reader,
            &mut bindings,
            &item,
            name,
            BindingValue::Actors(target),
        );
    }
    for item in tables(reader, root, "worker_loaders") {
        let Some(fields) = reader.table_of(&item, &["binding", "id", "jitless", "limits"]) else {
            continue;
        };
        let name = reader.required_string(&item, &fields, "binding");
        let id = reader.optional_string(&fields, "id");
        let find = |name: &str| fields.iter().find(|field| field.name() == name);
        let jitless = find("jitless").and_then(|field| reader.bool(field));
        let names = ["cpu_ms", "subrequests"];
        let limits = read_caps(reader, find("limits"), &names);
        if let (Some(name), Some(id)) = (name, id) {
            add_binding(
                reader,
                &mut bindings,
                &item,
                name,
                BindingValue::Loader {
                    id,
                    jitless: jitless.unwrap_or(false),
                    limits,
                },
            );
        }
    }
    for item in tables(reader, root, "kv_namespaces") {
        let others = ["preview_id", "remote", "experimental_remote"];
        let allowed = [&["binding", "id"][..], &others].concat();
        let Some(fields) = reader.table_of(&item, &allowed) else {
            continue;
        };
        warn_of_remote(reader, &fields);
        let name = reader.required_string(&item, &fields, "binding");
        let id = reader.optional_string(&fields, "id");
        if let (Some(name), Some(id)) = (name, id)
            && let Some(id) = checked_name(reader, &item, "id", id.unwrap_or_else(|| name.clone()))
        {
            add_binding(reader, &mut bindings, &item, name, BindingValue::Kv { id });
        }
    }
    for item in tables(reader, root, "ratelimits") {
        if let Some((name, value)) = others::rate_limit(reader, &item) {
            add_binding(reader, &mut bindings, &item, name, value);
        }
    }
    for item in tables(reader, root, "hyperdrive") {
        if let Some((name, value)) = others::hyperdrive(reader, &item) {
            add_binding(reader, &mut bindings, &item, name, value);
        }
    }
    for item in queue_tables(reader, root, "producers") {
        let allowed = [
            "binding",
            "queue",
            "delivery_delay",
            "remote",
            "experimental_remote",
        ];
        let Some(fields) = reader.table_of(&item, &allowed) else {
            continue;
        };
        warn_of_remote(reader, &fields);
        let name = reader.required_string(&item, &fields, "binding");
        let queue = reader.required_string(&item, &fields, "queue");
        let delay = number_of(reader, &fields, "delivery_delay", 0, QUEUE_DELAY_MAX);
        if let (Some(name), Some(queue)) = (name, queue)
            && let Some(queue) = checked_name(reader, &item, "queue", queue)
        {
            let delay = delay.unwrap_or(0);
            add_binding(
                reader,
                &mut bindings,
                &item,
                name,
                BindingValue::Queue { queue, delay },
            );
        }
    }
    for item in tables(reader, root, "r2_buckets") {
        let allowed = [
            "binding",
            "bucket_name",
            "preview_bucket_name",
            "jurisdiction",
            "remote",
            "experimental_remote",
            "mayfly_s3",
        ];
        let Some(fields) = reader.table_of(&item, &allowed) else {
            continue;
        };
        warn_of_remote(reader, &fields);
        let name = reader.required_string(&item, &fields, "binding");
        let bucket = reader.optional_string(&fields, "bucket_name");
        let s3 = fields.iter().find(|field| field.name() == "mayfly_s3");
        if let (Some(name), Some(bucket)) = (name, bucket)
            && let Some(bucket) = checked_name(
                reader,
                &item,
                "bucket_name",
                bucket.unwrap_or_else(|| name.clone()),
            )
        {
            let s3 = s3.and_then(|field| read_s3(reader, field, &bucket));
            add_binding(
                reader,
                &mut bindings,
                &item,
                name,
                BindingValue::R2 { bucket, s3 },
            );
        }
    }
    if let Some(assets) = root.get("assets").and_then(|field| reader.table(field))
        && let Some(field) = assets.iter().find(|field| field.name() == "binding")
        && let Some(name) = reader.string(field)
    {
        add_binding(reader, &mut bindings, field, name, BindingValue::Assets);
    }
    if let Some(item) = root.get("version_metadata")
        && let Some(fields) = reader.table_of(item, &["binding"])
        && let Some(name) = reader.required_string(item, &fields, "binding")
    {
        add_binding(reader, &mut bindings, item, name, BindingValue::Version);
    }
    bindings
}

/// Names of secrets that must be there; see `secrets.rs` for where they come from.
fn read_required_secrets(reader: &mut Reader<'_>, root: &Root<'_>) -> Vec<(String, Position)> {
    let fields = root
        .get("secrets")
        .and_then(|field| reader.table_of(field, &["required"]))
        .unwrap_or_default();
    let list = fields.iter().find(|field| field.name() == "required");
    let items = list
        .and_then(|field| reader.list(field))
        .unwrap_or_default();
    let names = items
        .iter()
        .filter_map(|item| Some((reader.string(item)?, reader.place_of(Some(item)))));
    names.collect()
}

/// An id that becomes the name of a file.
fn checked_name(
    reader: &mut Reader<'_>,
    item: &Field<'_>,
    key: &str,
    name: String,
) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.len() <= ID_CHARS_MAX && name.chars().all(allowed) {
        return Some(name);
    }
    let message = format!(
        "`{key}` must be 1 to {ID_CHARS_MAX} letters, digits, dashes and underscores, not \"{name}\""
    );
    reader.error(item, message);
    None
}

/// Seconds that a message of a queue may be delayed, as documented.
const QUEUE_DELAY_MAX: u32 = 86_400;

fn queue_tables<'a>(reader: &mut Reader<'_>, root: &Root<'a>, name: &str) -> Vec<Field<'a>> {
    let fields = root
        .get("queues")
        .and_then(|field| reader.table_of(field, &["producers", "consumers"]))
        .unwrap_or_default();
    let list = fields.iter().find(|field| field.name() == name);
    list.and_then(|field| reader.list(field))
        .unwrap_or_default()
}

fn number_of(
    reader: &mut Reader<'_>,
    fields: &[Field<'_>],
    name: &str,
    least: u32,
    most: u32,
) -> Option<u32> {
    let field = fields.iter().find(|field| field.name() == name);
    field.and_then(|field| reader.whole_number(field, least, most))
}

fn read_consumers(reader: &mut Reader<'_>, root: &Root<'_>) -> Vec<QueueConsumer> {
    let allowed = [
        "queue",
        "type",
        "max_batch_size",
        "max_batch_timeout",
        "max_retries",
        "dead_letter_queue",
        "max_concurrency",
        "retry_delay",
        "visibility_timeout_ms",
    ];
    let mut consumers = Vec::new();
    for item in queue_tables(reader, root, "consumers") {
        let Some(fields) = reader.table_of(&item, &allowed) else {
            continue;
        };
        let kind = reader.optional_string(&fields, "type").flatten();
        if kind.is_some_and(|kind| kind != "worker") {
            let message = "only consumers of type \"worker\" are supported".to_owned();
            reader.error(&item, message);
            continue;
        }
        warn_of_others(reader, &fields, &["visibility_timeout_ms"]);
        let queue = reader.required_string(&item, &fields, "queue");
        let queue = queue.and_then(|queue| checked_name(reader, &item, "queue", queue));
        let dead = reader
            .optional_string(&fields, "dead_letter_queue")
            .flatten();
        let dead_letter_queue =
            dead.and_then(|queue| checked_name(reader, &item, "dead_letter_queue", queue));
        let mut number = |name, least, most| number_of(reader, &fields, name, least, most);
        let consumer = QueueConsumer {
            queue: queue.unwrap_or_default(),
            max_batch_size: number("max_batch_size", 1, 100).unwrap_or(10),
            max_batch_timeout: number("max_batch_timeout", 0, 60).unwrap_or(5),
            max_retries: number("max_retries", 0, 100).unwrap_or(3),
            dead_letter_queue,
            max_concurrency: number("max_concurrency", 1, 250),
            retry_delay: number("retry_delay", 0, QUEUE_DELAY_MAX).unwrap_or(0),
        };
        if !consumer.queue.is_empty() {
            consumers.push(consumer);
        }
    }
    consumers
}

/// Credentials stand in environment variables, never in a file that is checked in.
fn read_s3(reader: &mut Reader<'_>, field: &Field<'_>, name: &str) -> Option<S3Bucket> {
    let keys = ["endpoint", "region", "bucket", "prefix", "credentials"];
    let fields = reader.table_of(field, &keys)?;
    let bucket = reader.optional_string(&fields, "bucket")?;
    let endpoint = reader.optional_string(&fields, "endpoint")?;
    let schemes = ["https://", "http://"];
    if let Some(endpoint) = &endpoint
        && !schemes.iter().any(|scheme| endpoint.starts_with(scheme))
    {
        let message = format!("`endpoint` must begin with https:// or http://, not \"{endpoint}\"");
        reader.error(field, message);
        return None;
    }
    let region = reader.optional_string(&fields, "region")?;
    let prefix = reader.optional_string(&fields, "prefix")?;
    let credentials = reader.optional_string(&fields, "credentials")?;
    Some(S3Bucket {
        endpoint,
        region: region.unwrap_or_else(|| "auto".to_owned()),
        bucket: bucket.unwrap_or_else(|| name.to_owned()),
        prefix: prefix.unwrap_or_else(|| format!("mayfly/{name}")),
        credentials: credentials.unwrap_or_else(|| "AWS".to_owned()),
    })
}

/// `remote: true` would have development reach for Cloudflare's own; what is bound here is here.
fn warn_of_remote(reader: &mut Reader<'_>, fields: &[Field<'_>]) {
    let names = ["remote", "experimental_remote"];
    for field in fields.iter().filter(|field| names.contains(&field.name())) {
        let message = "has no effect: the data is in this host's own state".to_owned();
        reader.warn(field, message);
    }
}

fn tables<'a>(reader: &mut Reader<'_>, root: &Root<'a>, name: &str) -> Vec<Field<'a>> {
    let field = root.get(name);
    field
        .and_then(|field| reader.list(field))
        .unwrap_or_default()
}

fn warn_of_others(reader: &mut Reader<'_>, fields: &[Field<'_>], names: &[&str]) {
    for field in fields.iter().filter(|field| names.contains(&field.name())) {
        reader.warn(
            field,
            "is known but not supported yet; it is ignored".to_owned(),
        );
    }
}

fn add_binding(
    reader: &mut Reader<'_>,
    bindings: &mut Vec<Binding>,
    field: &Field<'_>,
    name: String,
    value: BindingValue,
) {
    let at = reader.place_of(Some(field));
    if let Some(first) = bindings.iter().find(|binding| binding.name == name) {
        let message = format!("the binding \"{name}\" is already defined at {}", first.at);
        reader.error(field, message);
        return;
    }
    bindings.push(Binding { name, value, at });
}

/// `service`, `entrypoint` and `props` of a table whose keys were checked.
fn read_target(
    reader: &mut Reader<'_>,
    item: &Field<'_>,
    fields: &[Field<'_>],
) -> Option<ServiceTarget> {
    let service = reader.required_string(item, fields, "service");
    let entrypoint = reader.optional_string(fields, "entrypoint");
    let props = match fields.iter().find(|field| field.name() == "props") {
        Some(field) => reader.table(field).map(|_| Some(field.node.to_json())),
        None => Some(None),
    };
    let place = fields.iter().find(|field| field.name() == "service");
    Some(ServiceTarget {
        service: service?,
        entrypoint: entrypoint?,
        props: props?,
        at: reader.place_of(place),
    })
}

fn read_outbound(reader: &mut Reader<'_>, root: &Root<'_>) -> Outbound {
    let Some(field) = root.get("global_outbound") else {
        return Outbound::Internet;
    };
    if field.node.value == Value::Null {
        return Outbound::Blocked;
    }
    let target = reader
        .table_of(field, &["service", "entrypoint", "props"])
        .and_then(|fields| read_target(reader, field, &fields));
    // What could not be read was noted as an error; until then nothing may leave.
    target.map_or(Outbound::Blocked, Outbound::Service)
}

/// `entrypoint` and `props` are ours; wrangler's tails are default exports.
fn read_tails(reader: &mut Reader<'_>, root: &Root<'_>, name: &str) -> Vec<ServiceTarget> {
    let mut tails = Vec::new();
    for item in tables(reader, root, name) {
        let allowed = ["service", "entrypoint", "props", "environment"];
        let Some(fields) = reader.table_of(&item, &allowed) else {
            continue;
        };
        warn_of_others(reader, &fields, &["environment"]);
        tails.extend(read_target(reader, &item, &fields));
    }
    tails
}

fn read_modules(
    reader: &mut Reader<'_>,
    root: &Root<'_>,
    folder: &Path,
    main: Option<&Path>,
) -> ModuleOptions {
    let flag = |reader: &mut Reader<'_>, name: &str| {
        let field = root.get(name);
        field.and_then(|field| reader.bool(field)).unwrap_or(false)
    };
    let text = |reader: &mut Reader<'_>, name: &str| {
        let field = root.get(name);
        field.and_then(|field| reader.string(field))
    };
    let base_dir = match text(reader, "base_dir") {
        Some(given) => folder.join(given),
        None => main
            .and_then(Path::parent)
            .map_or_else(PathBuf::new, Path::to_owned),
    };
    if let (Some(main), Some(field)) = (main, root.get("base_dir"))
        && !main.starts_with(&base_dir)
    {
        let message = format!(
            "must be a folder that `main` is in; it is {}",
            main.display()
        );
        reader.error(field, message);
    }
    ModuleOptions {
        no_bundle: flag(reader, "no_bundle"),
        find_additional_modules: flag(reader, "find_additional_modules"),
        base_dir,
        rules: read_rules(reader, root),
        alias: read_alias(reader, root),
        define: read_define(reader, root),
        tsconfig: read_tsconfig(reader, root, folder),
        jsx_factory: text(reader, "jsx_factory"),
        jsx_fragment: text(reader, "jsx_fragment"),
    }
}

fn read_rules(reader: &mut Reader<'_>, root: &Root<'_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for item in tables(reader, root, "rules") {
        let Some(fields) = reader.table_of(&item, &["type", "globs", "fallthrough"]) else {
            continue;
        };
        let kind = read_rule_type(reader, &item, &fields);
        let globs = read_globs(reader, &item, &fields);
        let fallthrough = fields.iter().find(|field| field.name() == "fallthrough");
        let fallthrough = fallthrough.and_then(|field| reader.bool(field));
        if let (Some(kind), Some(globs)) = (kind, globs) {
            rules.push(Rule {
                kind,
                globs,
                fallthrough: fallthrough.unwrap_or(false),
            });
        }
    }
    rules
}

fn read_rule_type(
    reader: &mut Reader<'_>,
    item: &Field<'_>,
    fields: &[Field<'_>],
) -> Option<ModuleKind> {
    let given = reader.required_string(item, fields, "type")?;
    if let Some((_, kind)) = RULE_TYPES.iter().find(|(name, _)| *name == given) {
        return Some(kind.clone());
    }
    let names = RULE_TYPES.iter().map(|(name, _)| *name);
    let known: Vec<&str> = names.clone().collect();
    let near = nearest::among(&given, names);
    let message = match given.as_str() {
        "PythonModule" | "PythonRequirement" => "Python modules are not supported".to_owned(),
        _ => format!(
            "is \"{given}\", which is no module type{near}; allowed are {}",
            known.join(", ")
        ),
    };
    let field = fields.iter().find(|field| field.name() == "type");
    reader.error(field.unwrap_or(item), message);
    None
}

fn read_globs(
    reader: &mut Reader<'_>,
    item: &Field<'_>,
    fields: &[Field<'_>],
) -> Option<Vec<String>> {
    let globs = reader.required(item, fields, "globs")?;
    let globs = reader.list(globs)?;
    globs.iter().map(|glob| reader.string(glob)).collect()
}

fn read_alias(reader: &mut Reader<'_>, root: &Root<'_>) -> Vec<(String, String)> {
    let fields = root.get("alias").and_then(|field| reader.table(field));
    let fields = fields.unwrap_or_default();
    let pairs = fields.iter().filter_map(|field| {
        let target = reader.string(field)?;
        Some((field.name().to_owned(), target))
    });
    pairs.collect()
}

fn read_tsconfig(reader: &mut Reader<'_>, root: &Root<'_>, folder: &Path) -> Option<PathBuf> {
    let field = root.get("tsconfig")?;
    let given = PathBuf::from(reader.string(field)?);
    if !folder.join(&given).is_file() {
        let message = format!("there is no file {}", folder.join(&given).display());
        reader.error(field, message);
    }
    Some(given)
}

/// Whether an expression is one is checked by whoever puts it in.
fn read_define(reader: &mut Reader<'_>, root: &Root<'_>) -> Vec<Define> {
    let fields = root.get("define").and_then(|field| reader.table(field));
    let fields = fields.unwrap_or_default();
    let defines = fields.iter().filter_map(|field| {
        Some(Define {
            name: field.name().to_owned(),
            expression: reader.string(field)?,
            at: reader.place_of(Some(field)),
        })
    });
    defines.collect()
}

fn read_limits(reader: &mut Reader<'_>, root: &Root<'_>) -> Limits {
    let fields = root
        .get("limits")
        .and_then(|field| reader.table_of(field, &["cpu_ms", "subrequests"]))
        .unwrap_or_default();
    let mut number = |name: &str, most: u32| {
        let field = fields.iter().find(|field| field.name() == name);
        field.and_then(|field| reader.whole_number(field, 1, most))
    };
    Limits {
        cpu_ms: number("cpu_ms", CPU_MS_MAX),
        sub_requests: number("subrequests", SUB_REQUESTS_MAX),
    }
}

/// Whether an expression means anything is checked by whoever runs it.
fn read_crons(reader: &mut Reader<'_>, root: &Root<'_>) -> Vec<Cron> {
    let fields = root
        .get("triggers")
        .and_then(|field| reader.table_of(field, &["crons"]))
        .unwrap_or_default();
    let list = fields.iter().find(|field| field.name() == "crons");
    let items = list
        .and_then(|field| reader.list(field))
        .unwrap_or_default();
    let crons = items.iter().filter_map(|item| {
        let expression = reader.string(item)?;
        let at = reader.place_of(Some(item));
        Some(Cron { expression, at })
    });
    crons.collect()
}

/// Limits of Mayfly's own, and of the documented ones those that `more` names.
fn read_caps(reader: &mut Reader<'_>, field: Option<&Field<'_>>, more: &[&str]) -> Caps {
    let own = ["wall_ms", "startup_ms", "memory_mb", "workers_in_flight"];
    let allowed = [more, &own].concat();
    let fields = field
        .and_then(|field| reader.table_of(field, &allowed))
        .unwrap_or_default();
    let mut number = |name: &str, least: u32, most: u32| {
        let field = fields.iter().find(|field| field.name() == name);
        field.and_then(|field| reader.whole_number(field, least, most))
    };
    Caps {
        cpu_ms: number("cpu_ms", 1, CPU_MS_MAX),
        sub_requests: number("subrequests", 1, SUB_REQUESTS_MAX),
        wall_ms: number("wall_ms", 1, WALL_MS_MAX),
        startup_ms: number("startup_ms", 1, CPU_MS_MAX),
        memory_mb: number("memory_mb", MEMORY_MB_MIN, MEMORY_MB_MAX),
        workers_in_flight: number("workers_in_flight", 1, WORKERS_IN_FLIGHT_MAX),
    }
}

fn read_dev(reader: &mut Reader<'_>, root: &Root<'_>) -> Dev {
    const OTHERS: [&str; 8] = [
        "inspector_port",
        "inspector_ip",
        "local_protocol",
        "upstream_protocol",
        "host",
        "enable_containers",
        "container_engine",
        "generate_types",
    ];
    let mut allowed = vec!["ip", "port"];
    allowed.extend(OTHERS);
    let fields = root
        .get("dev")
        .and_then(|field| reader.table_of(field, &allowed))
        .unwrap_or_default();
    warn_of_others(reader, &fields, &OTHERS);
    let find = |name: &str| fields.iter().find(|field| field.name() == name);
    let port = find("port").and_then(|field| reader.whole_number(field, 0, u32::from(u16::MAX)));
    Dev {
        ip: find("ip").and_then(|field| reader.string(field)),
        port: port.and_then(|port| u16::try_from(port).ok()),
    }
}

#[cfg(test)]
mod tests;
