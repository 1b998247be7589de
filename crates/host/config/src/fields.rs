//! Typed reading of one field at a time, with what goes wrong noted by place.
//!
//! A reader of a value gives `None` when it noted an error, so callers just leave out what they
//! did not get.

use crate::config::Config;
use crate::nearest;
use crate::report::{ConfigError, Diagnostic, Position, Warning};
use crate::syntax::{Entry, Node, Source, Value};

/// A key or list item and its value.
#[derive(Debug, Clone)]
pub struct Field<'a> {
    /// The whole path from the root: `services[0].binding`.
    pub key: String,
    /// Where the key stands; an item stands where its value does.
    key_at: usize,
    /// The value.
    pub node: &'a Node,
    name: &'a str,
}

impl<'a> Field<'a> {
    pub fn new(parent: &str, entry: &'a Entry) -> Self {
        let dot = if parent.is_empty() { "" } else { "." };
        Self {
            key: format!("{parent}{dot}{}", entry.key),
            key_at: entry.key_at,
            node: &entry.node,
            name: &entry.key,
        }
    }

    fn item(parent: &str, index: usize, node: &'a Node) -> Self {
        Self {
            key: format!("{parent}[{index}]"),
            key_at: node.at,
            node,
            name: "",
        }
    }

    /// The last part of the path.
    pub fn name(&self) -> &'a str {
        self.name
    }
}

/// Reads fields of one file.
#[derive(Debug)]
pub struct Reader<'s> {
    source: &'s Source,
    errors: Vec<(usize, Diagnostic)>,
    warnings: Vec<(usize, Warning)>,
}

impl<'s> Reader<'s> {
    pub fn new(source: &'s Source) -> Self {
        Self {
            source,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub fn source(&self) -> &'s Source {
        self.source
    }

    /// The end: the Config if nothing went wrong.
    pub fn finish(mut self, config: Option<Config>) -> Result<(Config, Vec<Warning>), ConfigError> {
        self.errors.sort_by_key(|(at, _)| *at);
        self.warnings.sort_by_key(|(at, _)| *at);
        let errors: Vec<Diagnostic> = self.errors.into_iter().map(|(_, error)| error).collect();
        let warnings = self.warnings.into_iter().map(|(_, warning)| warning);
        match config {
            Some(config) if errors.is_empty() => Ok((config, warnings.collect())),
            _ => Err(ConfigError { errors }),
        }
    }

    fn note(&self, at: usize, key: &str, message: String) -> (usize, Diagnostic) {
        (at, Diagnostic::at(self.source.position(at), key, message))
    }

    /// An error about a field's value.
    pub fn error(&mut self, field: &Field<'_>, message: String) {
        let error = self.note(field.node.at, &field.key, message);
        self.errors.push(error);
    }

    /// An error about a key itself.
    pub fn error_at_key(&mut self, field: &Field<'_>, message: String) {
        let error = self.note(field.key_at, &field.key, message);
        self.errors.push(error);
    }

    /// An error about something that is not there.
    pub fn error_at_start(&mut self, message: String) {
        let error = self.note(0, "", message);
        self.errors.push(error);
    }

    pub fn warn(&mut self, field: &Field<'_>, message: String) {
        let warning = self.note(field.key_at, &field.key, message);
        self.warnings.push(warning);
    }

    pub fn warn_at_start(&mut self, message: String) {
        let warning = self.note(0, "", message);
        self.warnings.push(warning);
    }

    /// Where a field's value stands, or the file's start.
    pub fn place_of(&self, field: Option<&Field<'_>>) -> Position {
        self.source.position(field.map_or(0, |field| field.node.at))
    }

    fn wrong(&mut self, field: &Field<'_>, wanted: &str) {
        let message = format!("must be {wanted}, not {}", field.node.describe());
        self.error(field, message);
    }

    pub fn string(&mut self, field: &Field<'_>) -> Option<String> {
        match &field.node.value {
            Value::String(text) => Some(text.clone()),
            _ => {
                self.wrong(field, "a string");
                None
            }
        }
    }

    pub fn bool(&mut self, field: &Field<'_>) -> Option<bool> {
        match field.node.value {
            Value::Bool(value) => Some(value),
            _ => {
                self.wrong(field, "true or false");
                None
            }
        }
    }

    pub fn whole_number(&mut self, field: &Field<'_>, least: u32, most: u32) -> Option<u32> {
        let value = match field.node.value {
            Value::Number(_, value) => value,
            _ => f64::NAN,
        };
        // The cast saturates, so comparing back catches fractions, NaN and what is out of range.
        let whole = value as u32;
        if f64::from(whole) == value && (least..=most).contains(&whole) {
            return Some(whole);
        }
        self.wrong(field, &format!("a whole number from {least} to {most}"));
        None
    }

    pub fn list<'a>(&mut self, field: &Field<'a>) -> Option<Vec<Field<'a>>> {
        let Value::List(items) = &field.node.value else {
            self.wrong(field, "a list");
            return None;
        };
        let items = items.iter().enumerate();
        Some(
            items
                .map(|(index, node)| Field::item(&field.key, index, node))
                .collect(),
        )
    }

    /// The fields of an object with any keys.
    pub fn table<'a>(&mut self, field: &Field<'a>) -> Option<Vec<Field<'a>>> {
        let Value::Table(entries) = &field.node.value else {
            self.wrong(field, "an object");
            return None;
        };
        Some(
            entries
                .iter()
                .map(|entry| Field::new(&field.key, entry))
                .collect(),
        )
    }

    /// The fields of an object with these keys only.
    pub fn table_of<'a>(&mut self, field: &Field<'a>, allowed: &[&str]) -> Option<Vec<Field<'a>>> {
        let fields = self.table(field)?;
        for inner in fields
            .iter()
            .filter(|inner| !allowed.contains(&inner.name()))
        {
            let near = nearest::among(inner.name(), allowed.iter().copied());
            let known = allowed.join(", ");
            self.error_at_key(
                inner,
                format!("is not a key{near}; allowed here are {known}"),
            );
        }
        Some(fields)
    }

    pub fn required<'f, 'a>(
        &mut self,
        parent: &Field<'_>,
        fields: &'f [Field<'a>],
        name: &str,
    ) -> Option<&'f Field<'a>> {
        let found = fields.iter().find(|field| field.name() == name);
        if found.is_none() {
            self.error(parent, format!("`{name}` is missing"));
        }
        found
    }

    pub fn required_string(
        &mut self,
        parent: &Field<'_>,
        fields: &[Field<'_>],
        name: &str,
    ) -> Option<String> {
        let field = self.required(parent, fields, name)?;
        let text = self.string(field)?;
        if text.is_empty() {
            self.error(field, "must not be empty".to_owned());
            return None;
        }
        Some(text)
    }

    /// The outer `None` is an error, the inner one an absent key.
    pub fn optional_string(&mut self, fields: &[Field<'_>], name: &str) -> Option<Option<String>> {
        match fields.iter().find(|field| field.name() == name) {
            Some(field) => self.string(field).map(Some),
            None => Some(None),
        }
    }
}
