//! JSON with comments and TOML as one tree whose every key and value knows where it stands.
//!
//! Only syntax: what a key means is `read`'s. Numbers keep their text, so that a `vars` value
//! reaches the Worker as it was written.
//!
//! Invariant: positions are byte offsets into the text the tree was made from.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use jsonc_parser::ast;
use toml_edit::{Item, TableLike};

use crate::report::{Diagnostic, Position};

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub at: usize,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// As it was written, and its value; the text is JSON.
    Number(String, f64),
    String(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// One key of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_at: usize,
    pub node: Node,
}

/// A file's text, for turning offsets into lines.
#[derive(Debug)]
pub struct Source {
    pub path: PathBuf,
    pub text: String,
}

impl Source {
    pub fn new(path: &Path, text: &str) -> Self {
        // A byte order mark is no part of either syntax, but editors leave one.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// The line and column (both from 1, in characters) of an offset.
    pub fn position(&self, at: usize) -> Position {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            path: self.path.clone(),
            line,
            column: before[start..].chars().count() + 1,
        }
    }

    /// Parses by the file's ending: `.toml` is TOML, everything else JSON with comments.
    pub fn parse(&self) -> Result<Vec<Entry>, Diagnostic> {
        let toml = self.path.extension().is_some_and(|ending| ending == "toml");
        let (at, message) = match if toml {
            self.parse_toml()
        } else {
            self.parse_json()
        } {
            Ok(entries) => return Ok(entries),
            Err(problem) => problem,
        };
        Err(Diagnostic::at(self.position(at), "", message))
    }

    fn parse_json(&self) -> Result<Vec<Entry>, Problem> {
        let options = jsonc_parser::ParseOptions {
            allow_comments: true,
            allow_trailing_commas: true,
            allow_loose_object_property_names: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            allow_bare_decimal_point_numbers: false,
            allow_non_finite_numbers: false,
            allow_extended_string_escapes: false,
        };
        let parsed = jsonc_parser::parse_to_ast(&self.text, &Default::default(), &options)
            .map_err(|error| {
                (
                    error.range().start,
                    format!("not valid JSON: {}{}", error.kind(), self.about_ending()),
                )
            })?;
        match parsed.value {
            Some(ast::Value::Object(object)) => json_entries(object),
            Some(other) => Err((json_at(&other), "the file must hold one object".to_owned())),
            None => Err((0, "the file is empty; it must hold one object".to_owned())),
        }
    }

    /// What a file of another ending is told besides: it may be the wrong file.
    fn about_ending(&self) -> &'static str {
        let ending = self.path.extension().and_then(|ending| ending.to_str());
        match ending {
            Some("json" | "jsonc") => "",
            _ => "; a configuration is a file of .jsonc, .json or .toml",
        }
    }

    fn parse_toml(&self) -> Result<Vec<Entry>, Problem> {
        let document = toml_edit::Document::parse(self.text.as_str()).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            (at, format!("not valid TOML: {}", error.message()))
        })?;
        toml_entries(document.as_table(), 0)
    }
}

/// Where and what.
type Problem = (usize, String);

fn json_entries(object: ast::Object) -> Result<Vec<Entry>, Problem> {
    let mut entries: Vec<Entry> = Vec::new();
    for property in object.properties {
        let (key_at, key) = (property.range.start, property.name.into_string());
        if entries.iter().any(|entry| entry.key == key) {
            return Err((
                key_at,
                format!("the key \"{key}\" stands here for the second time"),
            ));
        }
        let node = json_node(property.value)?;
        entries.push(Entry { key, key_at, node });
    }
    Ok(entries)
}

fn json_at(value: &ast::Value) -> usize {
    use jsonc_parser::common::Ranged;
    value.range().start
}

fn json_node(value: ast::Value) -> Result<Node, Problem> {
    let at = json_at(&value);
    let value = match value {
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::BooleanLit(bool) => Value::Bool(bool.value),
        ast::Value::NumberLit(number) => {
            let value = number.value.parse().unwrap_or(f64::NAN);
            Value::Number(number.value.to_owned(), value)
        }
        ast::Value::StringLit(string) => Value::String(string.value.into_owned()),
        ast::Value::Array(array) => {
            let items: Result<_, _> = array.elements.into_iter().map(json_node).collect();
            Value::List(items?)
        }
        ast::Value::Object(object) => Value::Table(json_entries(object)?),
    };
    Ok(Node { at, value })
}

/// `near` is where a table stands that has no place of its own (`[a.b]` makes an `a`).
fn toml_entries(table: &dyn TableLike, near: usize) -> Result<Vec<Entry>, Problem> {
    let mut entries = Vec::new();
    for (name, item) in table.iter() {
        let key_span = table.key(name).and_then(toml_edit::Key::span);
        let key_at = key_span
            .or_else(|| item.span())
            .map_or(near, |span| span.start);
        let node = toml_node(item, key_at)?;
        let key = name.to_owned();
        entries.push(Entry { key, key_at, node });
    }
    Ok(entries)
}

fn toml_node(item: &Item, near: usize) -> Result<Node, Problem> {
    let at = item.span().map_or(near, |span| span.start);
    let value = match item {
        Item::None => Value::Null,
        Item::Value(value) => return toml_value(value, near),
        Item::Table(table) => Value::Table(toml_entries(table, at)?),
        Item::ArrayOfTables(tables) => {
            let item = |table: &toml_edit::Table| {
                let at = table.span().map_or(near, |span| span.start);
                let value = Value::Table(toml_entries(table, at)?);
                Ok(Node { at, value })
            };
            Value::List(tables.iter().map(item).collect::<Result<_, _>>()?)
        }
    };
    Ok(Node { at, value })
}

fn toml_value(value: &toml_edit::Value, near: usize) -> Result<Node, Problem> {
    use toml_edit::Value as Toml;
    let at = value.span().map_or(near, |span| span.start);
    let value = match value {
        Toml::String(text) => Value::String(text.value().clone()),
        Toml::Integer(number) => {
            // Beyond 2^53 the value is rounded, the text is not.
            let number = *number.value();
            Value::Number(number.to_string(), number as f64)
        }
        Toml::Float(number) if number.value().is_finite() => {
            let number = *number.value();
            Value::Number(format!("{number:?}"), number)
        }
        Toml::Float(_) => return Err((at, "only finite numbers have a form in JSON".to_owned())),
        Toml::Boolean(bool) => Value::Bool(*bool.value()),
        Toml::Datetime(date) => Value::String(date.value().to_string()),
        Toml::Array(items) => {
            let items: Result<_, _> = items.iter().map(|item| toml_value(item, at)).collect();
            Value::List(items?)
        }
        Toml::InlineTable(table) => Value::Table(toml_entries(table, at)?),
    };
    Ok(Node { at, value })
}

impl Node {
    /// The value as JSON text, compact, keys in their order.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) {
        match &self.value {
            Value::Null => out.push_str("null"),
            Value::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
            Value::Number(text, _) => out.push_str(text),
            Value::String(text) => write_json_string(text, out),
            Value::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write_json(out);
                }
                out.push(']');
            }
            Value::Table(entries) => {
                out.push('{');
                for (index, entry) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_json_string(&entry.key, out);
                    out.push(':');
                    entry.node.write_json(out);
                }
                out.push('}');
            }
        }
    }

    /// What it is, for messages: `a string ("abc")`.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(bool) => bool.to_string(),
            Value::Number(text, _) => format!("the number {text}"),
            Value::String(text) if text.chars().count() > SHOWN_CHARS_MAX => {
                let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
                format!("the string \"{start}...\"")
            }
            Value::String(text) => format!("the string \"{text}\""),
            Value::List(_) => "a list".to_owned(),
            Value::Table(_) => "an object".to_owned(),
        }
    }
}

/// How much of a wrong string a message shows.
const SHOWN_CHARS_MAX: usize = 40;

fn write_json_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if u32::from(c) < 0x20 => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, text: &str) -> Source {
        Source {
            path: name.into(),
            text: text.to_owned(),
        }
    }

    fn json_of(name: &str, text: &str) -> String {
        let value = Value::Table(source(name, text).parse().unwrap());
        Node { at: 0, value }.to_json()
    }

    #[test]
    fn json_and_toml_make_the_same_tree() {
        let json = r#"{ // comment
            "a": {"b": [1, 2.50, "x\u0001\"", null, true,], /* */ "c": {}}, "d": [{"e": 1}] }"#;
        let expect = r#"{"a":{"b":[1,2.50,"x\u0001\"",null,true],"c":{}},"d":[{"e":1}]}"#;
        assert_eq!(json_of("w.jsonc", json), expect);
        let toml = "a.b = [1, 2.50, 'x']\na.c = {}\n[[d]]\ne = 1\n[f.g]\nh = 2026-01-02\n";
        let expect = r#"{"a":{"b":[1,2.5,"x"],"c":{}},"d":[{"e":1}],"f":{"g":{"h":"2026-01-02"}}}"#;
        assert_eq!(json_of("w.toml", toml), expect);
    }

    #[test]
    fn syntax_errors_have_a_place() {
        let check = |name: &str, text: &str, line: usize, start: &str| {
            let error = source(name, text).parse().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}:{line}:")), "{error}");
            assert!(error.contains(start), "{error}");
        };
        check("w.json", "{\n \"a\": 1,\n \"b\" 2}", 3, "not valid JSON");
        check(
            "w.json",
            "{\"a\": 1,\n\"a\": 2}",
            2,
            "\"a\" stands here for the second time",
        );
        check("w.json", "[1]", 1, "must hold one object");
        check("w.json", "", 1, "empty");
        check("w.json", "{'a': 1}", 1, "not valid JSON");
        check("w.yaml", "a: 1", 1, ".jsonc, .json or .toml");
        check("w.toml", "a = 1\nb = \n", 2, "not valid TOML");
        check("w.toml", "a = 1\na = 2\n", 2, "not valid TOML");
        check("w.toml", "a = nan", 1, "finite");
    }

    #[test]
    fn every_key_knows_its_place() {
        let source = source("w.toml", "name = 'x'\n\n[[services]]\nbinding = 3\n");
        let tree = source.parse().unwrap();
        let Value::List(items) = &tree[1].node.value else {
            panic!("{tree:?}");
        };
        let Value::Table(entries) = &items[0].value else {
            panic!("{items:?}");
        };
        let at = source.position(entries[0].node.at);
        assert_eq!((at.line, at.column), (4, 11));
        let at = source.position(entries[0].key_at);
        assert_eq!((at.line, at.column), (4, 1));
    }
}
