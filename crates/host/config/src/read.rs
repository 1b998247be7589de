//! From the tree to a [`Config`]: which keys there are, of which type, with which values.
//!
//! Every problem is noted and reading goes on, so that one run tells all of them. `fields` has the
//! small typed readers; the files below `read/` have what groups of wrangler's keys mean, this one
//! has environments and the keys that stand alone.
//!
//! Invariant: a Config is only made when nothing was noted as an error.

mod actors;
mod assets;
mod bindings;
mod d1;
mod limits;
mod modules;
mod others;
mod queues;

use std::path::{Path, PathBuf};

use crate::compat::{self, Date, Experimental};
use crate::config::{Build, Config, Cron, Dev, Outbound, ServiceTarget};
use crate::fields::{Field, Reader};
use crate::keys::{self, Effect, Scope};
use crate::nearest;
use crate::report::{ConfigError, Position, Warning};
use crate::syntax::{Entry, Source, Value};

/// The longest name of a Worker: a DNS label's length, as it becomes part of a host name.
const NAME_CHARS_MAX: usize = 63;

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
    let bindings = bindings::bindings(reader, root);
    let required_secrets = read_required_secrets(reader, root);
    let entries = tables(reader, root, "migrations");
    let migrations = actors::migrations(reader, &entries);
    let modules = modules::modules(reader, root, &folder, main.as_deref());
    let outbound = read_outbound(reader, root);
    let limits = limits::limits(reader, root);
    let tails = read_tails(reader, root, "tail_consumers");
    let streaming_tails = read_tails(reader, root, "streaming_tail_consumers");
    let assets = root
        .get("assets")
        .and_then(|field| assets::read(reader, field, &folder));
    let consumers = queues::consumers(reader, root);
    let crons = read_crons(reader, root);
    let caps = limits::caps(reader, root.get("mayfly_limits"), &[]);
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

fn tables<'a>(reader: &mut Reader<'_>, root: &Root<'a>, name: &str) -> Vec<Field<'a>> {
    let field = root.get(name);
    field
        .and_then(|field| reader.list(field))
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

fn warn_of_others(reader: &mut Reader<'_>, fields: &[Field<'_>], names: &[&str]) {
    for field in fields.iter().filter(|field| names.contains(&field.name())) {
        reader.warn(
            field,
            "is known but not supported yet; it is ignored".to_owned(),
        );
    }
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
