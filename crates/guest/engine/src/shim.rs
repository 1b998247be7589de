//! Source of the small ES modules that stand for what is no ES module: built-ins and CommonJS.
//!
//! The engine can make synthetic modules with a default export only, so anything with names is a
//! real module that picks its values out of `import.meta.exports`, which exists on these alone.
//! Pure text in and out.
//!
//! Invariant: whatever the names are, the text parses and exports each name once.

use std::collections::HashSet;
use std::fmt::Write as _;

/// Names exported at most; more are still there on the default export.
pub(crate) const SHIM_EXPORTS_MAX: usize = 4096;

/// How the default export is found in the exports object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DefaultExport {
    /// The object itself.
    Whole,
    /// Its `default` property.
    Property,
}

/// Makes the text of a shim with these export names.
pub(crate) fn source<'a>(names: impl Iterator<Item = &'a str>, default: DefaultExport) -> String {
    let mut text = String::from("const e = import.meta.exports();const o = Object(e);");
    let mut exports = String::new();
    let mut seen = HashSet::new();
    for name in names {
        if name == "default" || seen.len() == SHIM_EXPORTS_MAX || !seen.insert(name) {
            continue;
        }
        let quoted = quote(name);
        let number = seen.len();
        let _ = write!(text, "const v{number} = o[{quoted}];");
        let _ = write!(exports, "v{number} as {quoted},");
    }
    let value = match default {
        DefaultExport::Whole => "e",
        DefaultExport::Property => "o.default",
    };
    let _ = write!(text, "const d = {value};export {{{exports}d as default}};");
    text
}

fn quote(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('"');
    for c in name.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c < ' ' || c == '\u{2028}' || c == '\u{2029}' => {
                let _ = write!(quoted, "\\u{:04x}", c as u32);
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_unique() {
        let text = source(
            ["a", "weird-name", "a", "default", "\"\n"].into_iter(),
            DefaultExport::Whole,
        );
        assert_eq!(
            text,
            "const e = import.meta.exports();const o = Object(e);const v1 = o[\"a\"];\
             const v2 = o[\"weird-name\"];const v3 = o[\"\\\"\\u000a\"];const d = e;\
             export {v1 as \"a\",v2 as \"weird-name\",v3 as \"\\\"\\u000a\",d as default};"
        );
    }

    #[test]
    fn a_builtin_may_have_its_own_default() {
        let text = source([].into_iter(), DefaultExport::Property);
        assert!(text.contains("const d = o.default;export {d as default};"));
    }
}
