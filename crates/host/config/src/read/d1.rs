//! `d1_databases`: which database a Worker has, and where its migrations lie.

use super::bindings::{checked_name, warn_of_remote};
use crate::config::{BindingValue, D1Database};
use crate::fields::{Field, Reader};

/// Where wrangler looks.
const MIGRATIONS_DIR: &str = "migrations";
const MIGRATIONS_TABLE: &str = "d1_migrations";

/// One of `d1_databases`.
pub fn database(reader: &mut Reader<'_>, item: &Field<'_>) -> Option<(String, BindingValue)> {
    let allowed = [
        "binding",
        "database_name",
        "database_id",
        "preview_database_id",
        "migrations_dir",
        "migrations_table",
        "migrations_pattern",
        "database_internal_env",
        "remote",
        "experimental_remote",
    ];
    let fields = reader.table_of(item, &allowed)?;
    warn_of_remote(reader, &fields);
    let binding = reader.required_string(item, &fields, "binding");
    let name = reader.optional_string(&fields, "database_name");
    let id = reader.optional_string(&fields, "database_id");
    let dir = reader.optional_string(&fields, "migrations_dir");
    let pattern = reader.optional_string(&fields, "migrations_pattern");
    let table = reader.optional_string(&fields, "migrations_table");
    let (binding, name, id) = (binding?, name?, id?);
    let key = match (&id, &name) {
        (Some(_), _) => "database_id",
        (None, Some(_)) => "database_name",
        (None, None) => "binding",
    };
    let id = id.or_else(|| name.clone());
    let id = checked_name(reader, item, key, id.unwrap_or_else(|| binding.clone()))?;
    let migrations_pattern = pattern_of(reader, item, dir.as_ref()?.as_deref(), pattern?)?;
    let migrations_dir = plain(&dir?.unwrap_or_else(|| MIGRATIONS_DIR.to_owned()));
    let migrations_table = table?.unwrap_or_else(|| MIGRATIONS_TABLE.to_owned());
    if migrations_table.is_empty() {
        reader.error(item, "`migrations_table` must not be empty".to_owned());
        return None;
    }
    let database = D1Database {
        id,
        name,
        migrations_dir,
        migrations_pattern,
        migrations_table,
    };
    Some((binding, BindingValue::D1(database)))
}

/// The glob below the folder: wrangler writes it with the folder in front.
fn pattern_of(
    reader: &mut Reader<'_>,
    item: &Field<'_>,
    dir: Option<&str>,
    pattern: Option<String>,
) -> Option<String> {
    let Some(pattern) = pattern else {
        return Some("*.sql".to_owned());
    };
    let Some(dir) = dir.map(plain) else {
        let message = "`migrations_pattern` needs `migrations_dir` beside it".to_owned();
        reader.error(item, message);
        return None;
    };
    let whole = plain(&pattern);
    let below = match dir.as_str() {
        "." => Some(whole.as_str()),
        dir => whole
            .strip_prefix(dir)
            .and_then(|rest| rest.strip_prefix('/')),
    };
    match below.filter(|below| !below.is_empty()) {
        Some(below) => Some(below.to_owned()),
        None => {
            let message = format!(
                "`migrations_pattern` must begin with \"{dir}/\", as `migrations_dir` says, such as \
                 \"{dir}/*/migration.sql\"; it is \"{pattern}\""
            );
            reader.error(item, message);
            None
        }
    }
}

/// A path without what makes no difference: `./a//b/` is `a/b`.
fn plain(path: &str) -> String {
    let parts: Vec<&str> = path
        .split('/')
        .enumerate()
        .filter(|(index, part)| *part != "." && (!part.is_empty() || *index == 0))
        .map(|(_, part)| part)
        .collect();
    match parts.as_slice() {
        [] => ".".to_owned(),
        parts => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn paths_are_compared_by_what_they_mean() {
        for (path, expect) in [
            ("migrations", "migrations"),
            ("./a//b/", "a/b"),
            ("./", "."),
            (".", "."),
            ("../a", "../a"),
            ("/srv/a", "/srv/a"),
        ] {
            assert_eq!(plain(path), expect, "{path}");
        }
    }
}
