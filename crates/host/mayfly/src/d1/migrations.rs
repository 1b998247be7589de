//! Migrations of a D1 database: files of SQL, and a table that says which were applied.
//!
//! Both are as wrangler has them, so a project's folder works unchanged and a database that wrangler brought
//! somewhere is gone on with: names are paths below the folder, in the order of the numbers that their parts
//! begin with.
//!
//! Invariant: a migration and the row that says so are one transaction.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use mayfly_store::d1::{Param, Query};

use super::{Opened, failed, print, queries, read};
use crate::exit::Exit;

/// Folders inside each other that are looked through.
const DEPTH_MAX: usize = 16;

/// Prints all of them.
pub fn list(opened: &Opened) -> Result<(), Exit> {
    let names = names(opened)?;
    let applied = applied(opened)?;
    let mut text = String::new();
    for name in &names {
        let when = applied.get(name).map_or("pending", String::as_str);
        text.push_str(&format!("{when:<19}  {}\n", print::plain(name)));
    }
    print::out(&text);
    let pending = names.iter().filter(|name| !applied.contains_key(*name));
    eprintln!(
        "mayfly: {} of {} migrations are pending",
        pending.count(),
        names.len()
    );
    Ok(())
}

/// Applies what is pending.
pub fn apply(opened: &Opened) -> Result<(), Exit> {
    let names = names(opened)?;
    let table = quoted(&opened.configured.migrations_table);
    let make = format!(
        "CREATE TABLE IF NOT EXISTS {table}(
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT UNIQUE,
            applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
        )"
    );
    ask(opened, make)?;
    let applied = applied(opened)?;
    let mut count = 0;
    for name in names.iter().filter(|name| !applied.contains_key(*name)) {
        let mut queries = queries(&read(&folder(opened).join(name))?);
        queries.push(Query {
            sql: format!("INSERT INTO {table} (name) VALUES (?1)"),
            params: vec![Param::Text(name.clone())],
        });
        let ran = opened.run(&queries, &mut print::Printed::default());
        ran.map_err(|refused| match failed(&queries, &refused) {
            Exit::Sql(why) => Exit::Sql(format!("migration {}: {why}", print::plain(name))),
            other => other,
        })?;
        eprintln!("mayfly: applied {}", print::plain(name));
        count += 1;
    }
    let database = opened.configured.name.as_ref();
    let database = database.unwrap_or(&opened.configured.id);
    match count {
        0 => eprintln!("mayfly: no migration of {database} is pending"),
        _ => eprintln!("mayfly: {count} migrations were applied to {database}"),
    }
    Ok(())
}

fn folder(opened: &Opened) -> PathBuf {
    opened.root.join(&opened.configured.migrations_dir)
}

/// The project's migrations in their order.
fn names(opened: &Opened) -> Result<Vec<String>, Exit> {
    let folder = folder(opened);
    if !folder.is_dir() {
        let folder = folder.display();
        return Err(Exit::Definition(format!(
            "there is no folder {folder} of migrations (`migrations_dir` of the database names another)"
        )));
    }
    let mut names = Vec::new();
    walk(&folder, "", 0, &mut names)?;
    names.retain(|name| mayfly_config::glob::matches(&opened.configured.migrations_pattern, name));
    names.sort_by(|a, b| order(a, b));
    Ok(names)
}

fn walk(folder: &Path, below: &str, depth: usize, names: &mut Vec<String>) -> Result<(), Exit> {
    let failed = |source| Exit::File {
        path: folder.to_owned(),
        source,
    };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // A name that is no text could not be kept in the table.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let relative = format!("{below}{name}");
        let path = entry.path();
        if !path.is_dir() {
            names.push(relative);
        } else if depth < DEPTH_MAX {
            walk(&path, &format!("{relative}/"), depth + 1, names)?;
        }
    }
    Ok(())
}

/// Part by part: by the number that it begins with, parts without one last, and then by its text.
fn order(a: &str, b: &str) -> Ordering {
    let number = |part: &str| -> Option<u128> {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        part.get(..digits)?.parse().ok()
    };
    for (x, y) in a.split('/').zip(b.split('/')) {
        let numbers = match (number(x), number(y)) {
            (Some(x), Some(y)) => x.cmp(&y),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        };
        let both = numbers.then_with(|| x.cmp(y));
        if both != Ordering::Equal {
            return both;
        }
    }
    a.len().cmp(&b.len())
}

/// What was applied, and when.
fn applied(opened: &Opened) -> Result<HashMap<String, String>, Exit> {
    let table = &opened.configured.migrations_table;
    let there = Query {
        sql: "SELECT name FROM sqlite_schema WHERE type = 'table' AND name = ?1".to_owned(),
        params: vec![Param::Text(table.clone())],
    };
    if rows(opened, there)?.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!("SELECT name, applied_at FROM {} ORDER BY id", quoted(table));
    let rows = ask(opened, sql)?;
    let pair = |row: Vec<String>| {
        let mut cells = row.into_iter();
        Some((cells.next()?, cells.next()?))
    };
    Ok(rows.into_iter().filter_map(pair).collect())
}

fn ask(opened: &Opened, sql: String) -> Result<Vec<Vec<String>>, Exit> {
    rows(
        opened,
        Query {
            sql,
            params: Vec::new(),
        },
    )
}

fn rows(opened: &Opened, query: Query) -> Result<Vec<Vec<String>>, Exit> {
    let mut printed = print::Printed::default();
    let ran = opened.run(&[query], &mut printed);
    ran.map_err(|refused| Exit::Sql(refused.message))?;
    Ok(printed.texts())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_wranglers() {
        let mut names = [
            "notes.sql",
            "10_last.sql",
            "2_b.sql",
            "0002_a.sql",
            "1_first/migration.sql",
            "1_first/2.sql",
            "100.sql",
            "alpha.sql",
        ];
        names.sort_by(|a, b| order(a, b));
        assert_eq!(
            names,
            [
                "1_first/2.sql",
                "1_first/migration.sql",
                "0002_a.sql",
                "2_b.sql",
                "10_last.sql",
                "100.sql",
                "alpha.sql",
                "notes.sql",
            ]
        );
    }

    #[test]
    fn a_table_may_have_any_name() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
