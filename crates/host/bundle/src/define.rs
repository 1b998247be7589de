//! `define`: expressions that a project puts in the place of free names.
//!
//! Invariant: what is put in is one expression, so that it stays one wherever it is put.

use mayfly_config::{Define, Diagnostic};
use oxc_allocator::Allocator;
use oxc_parser::Parser;
use oxc_span::SourceType;

/// What packages ask for, and what they are told: there is no other way to build a Worker yet.
const NODE_ENV: (&str, &str) = ("process.env.NODE_ENV", "\"production\"");

/// Names and their expressions.
#[derive(Debug)]
pub struct Defines(Vec<(Vec<String>, String)>);

impl Defines {
    /// Checks what the wrangler file says.
    pub fn new(given: &[Define]) -> Result<Self, Vec<Diagnostic>> {
        let errors: Vec<Diagnostic> = given.iter().filter_map(check).collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let own = given
            .iter()
            .map(|one| (one.name.as_str(), one.expression.as_str()));
        let named = |name: &str| given.iter().any(|one| one.name == name);
        let default = Some(NODE_ENV).filter(|(name, _)| !named(name));
        let all = own.chain(default).map(|(name, expression)| {
            let path = name.split('.').map(str::to_owned);
            (path.collect(), as_operand(expression.trim()))
        });
        Ok(Self(all.collect()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The expression for a path of names.
    pub fn find(&self, path: &[&str]) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == path);
        found.map(|(_, expression)| expression.as_str())
    }
}

/// Parentheses, unless the expression is a word, a number or a string.
fn as_operand(expression: &str) -> String {
    let simple = |c: char| c.is_alphanumeric() || matches!(c, '"' | '\'' | '_' | '$');
    match expression.chars().next().is_some_and(simple) && !expression.contains(' ') {
        true => expression.to_owned(),
        false if expression.starts_with('"') => expression.to_owned(),
        false => format!("({expression})"),
    }
}

fn check(define: &Define) -> Option<Diagnostic> {
    let is_name = |part: &str| {
        let mut chars = part.chars();
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        chars.next().is_some_and(|c| word(c) && !c.is_numeric()) && chars.all(word)
    };
    let message = if !define.name.split('.').all(is_name) {
        "must be a name such as FLAG or build.flag".to_owned()
    } else if !is_expression(&define.expression) {
        let given = &define.expression;
        format!(
            "must be one expression of JavaScript, such as true or \"\\\"text\\\"\", not {given}"
        )
    } else {
        return None;
    };
    Some(Diagnostic {
        position: Some(define.at.clone()),
        key: format!("define.{}", define.name),
        message,
    })
}

fn is_expression(text: &str) -> bool {
    let allocator = Allocator::default();
    Parser::new(&allocator, text, SourceType::mjs())
        .parse_expression()
        .is_ok()
}
