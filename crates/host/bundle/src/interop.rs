//! ES modules that stand between an ES module and a CommonJS one.
//!
//! A guest gives a CommonJS module's `module.exports` as the default export and nothing else, but
//! packages are imported by name. The module made here imports that default and exports the names
//! that are asked for or that the file seems to have.
//!
//! A deviation from the standard's live bindings: the names are read once, when this module runs,
//! as Node.js does.

use std::collections::BTreeSet;
use std::fmt::Write;

/// What the default export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Style {
    /// `module.exports`, always: what Node.js gives an ES module.
    Node,
    /// `exports.default` where a compiler made CommonJS of an ES module (`__esModule`).
    Babel,
}

impl Style {
    /// What is added to the name of the module that stands behind.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Node => ".node.mjs",
            Self::Babel => ".default.mjs",
        }
    }
}

/// The text of the module in front of `specifier` (a string literal).
pub fn module(specifier: &str, style: Style, names: &BTreeSet<String>) -> String {
    let mut code = format!("import whole from {specifier};\n");
    let default = match style {
        Style::Node => "whole",
        Style::Babel => "whole?.__esModule && \"default\" in whole ? whole.default : whole",
    };
    code.push_str("const of = Object(whole);\n");
    // A getter may throw while a cycle is half loaded: then the name is undefined.
    code.push_str("const read = (name) => { try { return of[name]; } catch {} };\n");
    // Writing to a String cannot fail.
    let _ = writeln!(code, "export default {default};");
    let named = names
        .iter()
        .filter(|name| *name != "default" && *name != "__esModule");
    for (index, name) in named.enumerate() {
        let name = quote(name);
        let _ = writeln!(
            code,
            "const n{index} = read({name});\nexport {{ n{index} as {name} }};"
        );
    }
    code
}

/// A JavaScript string literal.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
