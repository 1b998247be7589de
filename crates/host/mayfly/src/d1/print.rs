//! Rows on a terminal, or as JSON.
//!
//! Invariant: no text of a database steers the terminal.

use std::io::Write as _;

use mayfly_bindings::d1::described;
use mayfly_store::d1::{Cell, Meta, Taker};
use serde_json::Value;

use crate::logs::visible;

/// Gathers what statements give.
#[derive(Default)]
pub struct Printed(Vec<Statement>);

#[derive(Default)]
struct Statement {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
    meta: Option<Meta>,
}

impl Taker for Printed {
    fn columns(&mut self, names: &[&str]) -> Result<(), String> {
        self.0.push(Statement {
            columns: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Statement::default()
        });
        Ok(())
    }

    fn row(&mut self, cells: &mut dyn Iterator<Item = Cell<'_>>) -> Result<(), String> {
        if let Some(statement) = self.0.last_mut() {
            statement.rows.push(cells.map(value).collect());
        }
        Ok(())
    }

    fn done(&mut self, meta: &Meta) -> Result<(), String> {
        if let Some(statement) = self.0.last_mut() {
            statement.meta = Some(*meta);
        }
        Ok(())
    }
}

impl Printed {
    /// All rows of the last statement, as text.
    pub fn texts(self) -> Vec<Vec<String>> {
        let rows = self.0.into_iter().next_back().unwrap_or_default().rows;
        let row = |row: Vec<Value>| row.iter().map(text).collect();
        rows.into_iter().map(row).collect()
    }

    pub fn print(&self, json: bool) {
        let form = if json {
            Statement::json
        } else {
            Statement::table
        };
        let parts: Vec<String> = self.0.iter().map(form).collect();
        match json {
            true => out(&format!("[{}]\n", parts.join(",\n "))),
            false => out(&parts.join("\n")),
        }
    }
}

impl Statement {
    /// As wrangler prints it. By hand, since keys are in the order of the columns.
    fn json(&self) -> String {
        let row = |row: &Vec<Value>| {
            let cells = self.columns.iter().zip(row);
            let pairs =
                cells.map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        };
        let rows: Vec<String> = self.rows.iter().map(row).collect();
        let meta = self.meta.as_ref().map_or(Value::Null, described);
        format!(
            "{{\"results\":[{}],\"success\":true,\"meta\":{meta}}}",
            rows.join(",")
        )
    }

    fn table(&self) -> String {
        let changes = self.meta.map_or(0, |meta| meta.changes);
        if self.columns.is_empty() {
            return format!("done; {changes} rows were changed\n");
        }
        let head: Vec<String> = self.columns.iter().map(|name| plain(name)).collect();
        let rows = self.rows.iter();
        let rows: Vec<Vec<String>> = rows
            .map(|row| row.iter().map(|value| plain(&text(value))).collect())
            .collect();
        let width = |column: usize| {
            let cells = rows.iter().chain([&head]);
            let lengths = cells
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count());
            lengths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths);
            let cells: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            format!("{}\n", cells.join("  ").trim_end())
        };
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        let rows: String = rows.iter().map(line).collect();
        format!("{}{}{rows}", line(&head), line(&rule))
    }
}

/// As D1 has it in JavaScript.
fn value(cell: Cell<'_>) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number) => number.into(),
        Cell::Real(number) => number.into(),
        Cell::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
        Cell::Blob(bytes) => bytes.into(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// On one line, and nothing but what it looks like.
pub fn plain(text: &str) -> String {
    visible(text).replace('\n', "\\n").replace('\t', "\\t")
}

/// A reader that has seen enough (`| head`) is no error.
pub fn out(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed() -> Statement {
        let mut printed = Printed::default();
        printed.columns(&["b", "a"]).unwrap();
        let rows = [
            [Cell::Integer(1), Cell::Text(b"\x1b[2J\n")],
            [Cell::Null, Cell::Blob(&[0, 255])],
        ];
        for row in rows {
            printed.row(&mut row.into_iter()).unwrap();
        }
        printed.0.pop().unwrap()
    }

    #[test]
    fn rows_are_a_table_that_steers_nothing() {
        assert_eq!(
            printed().table(),
            "b     a\n----  -----------\n1     \\u{1b}[2J\\n\nNULL  [0,255]\n"
        );
    }

    #[test]
    fn rows_are_json_in_the_order_of_their_columns() {
        let json = printed().json();
        assert!(
            json.starts_with(r#"{"results":[{"b":1,"a":"\u001b[2J\n"},{"b":null,"a":[0,255]}],"#),
            "{json}"
        );
        assert!(serde_json::from_str::<Value>(&json).is_ok());
    }
}
