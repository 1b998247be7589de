//! Which names a CommonJS module exports, read off its text before it runs.
//!
//! ES modules need the names of a CommonJS module's exports when they link, long before it is
//! evaluated. This finds the usual forms that people and compilers write; what it misses is still
//! there on the default export. It does not parse JavaScript: it steps over comments, strings,
//! templates and regular expressions and looks at the words between.
//!
//! Invariant: linear in the text, never fails, allocates only names.

/// Names and re-exports found at most.
const FOUND_MAX: usize = 4096;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Exports {
    pub(crate) names: Vec<String>,
    /// Specifiers whose exports are exported again (`module.exports = require("./x")`).
    pub(crate) again: Vec<String>,
}

/// Reads the names.
pub(crate) fn exports_of(text: &str) -> Exports {
    let tokens = tokens(text);
    let mut found = Exports::default();
    let mut at = 0;
    while at < tokens.len() && found.names.len() + found.again.len() < FOUND_MAX {
        at += look(
            &tokens[at..],
            at > 0 && tokens[at - 1] == Token::Sign('.'),
            &mut found,
        )
        .max(1);
    }
    found
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// The raw text between the quotes.
    Text(&'a str),
    Sign(char),
}

use Token::{Sign, Text, Word};

/// Looks for one form at the start of `tokens`; how many tokens it took.
fn look(tokens: &[Token<'_>], after_dot: bool, found: &mut Exports) -> usize {
    if after_dot {
        return 1;
    }
    let Some(taken) = exports_object(tokens) else {
        return define_property(tokens, found)
            .or_else(|| star(tokens, found))
            .unwrap_or(1);
    };
    match &tokens[taken..] {
        [Sign('.'), Word(name), Sign('='), after, ..] if *after != Sign('=') => {
            found.names.push((*name).to_owned());
            // The value may be `exports.b = ...` in turn.
            taken + 3
        }
        [Sign('['), Text(name), Sign(']'), Sign('='), after, ..] if *after != Sign('=') => {
            found.names.push(unescape(name));
            taken + 4
        }
        [Sign('='), rest @ ..] if taken == 3 => taken + 1 + whole_object(rest, found),
        _ => taken,
    }
}

/// `exports` or `module.exports`; how many tokens.
fn exports_object(tokens: &[Token<'_>]) -> Option<usize> {
    match tokens {
        [Word("exports"), ..] => Some(1),
        [Word("module"), Sign('.'), Word("exports"), ..] => Some(3),
        _ => None,
    }
}

/// What is assigned to `module.exports`: an object literal or a `require`.
fn whole_object(tokens: &[Token<'_>], found: &mut Exports) -> usize {
    match tokens {
        [Word("require"), Sign('('), Text(specifier), Sign(')'), ..] => {
            found.again.push(unescape(specifier));
            4
        }
        [Sign('{'), ..] => object_literal(tokens, found),
        _ => 0,
    }
}

/// The keys of an object literal, until one that cannot be read; values are skipped by brackets.
fn object_literal(tokens: &[Token<'_>], found: &mut Exports) -> usize {
    let mut at = 1;
    while at < tokens.len() && found.names.len() < FOUND_MAX {
        match &tokens[at..] {
            [Sign('}'), ..] => return at + 1,
            [Sign(','), ..] => at += 1,
            [
                Sign('.'),
                Sign('.'),
                Sign('.'),
                Word("require"),
                Sign('('),
                Text(s),
                Sign(')'),
                ..,
            ] => {
                found.again.push(unescape(s));
                at += 7;
            }
            [Word("get" | "set" | "async"), Word(name), Sign('('), ..] => {
                found.names.push((*name).to_owned());
                at += 2 + member_length(&tokens[at + 2..]);
            }
            [Word(name), Sign(',' | '}' | ':' | '('), ..] => {
                found.names.push((*name).to_owned());
                at += 1 + member_length(&tokens[at + 1..]);
            }
            [Text(name), Sign(':' | '('), ..] => {
                found.names.push(unescape(name));
                at += 1 + member_length(&tokens[at + 1..]);
            }
            _ => return at,
        }
    }
    at
}

/// Tokens up to the comma or brace that ends a member.
fn member_length(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Sign('(' | '[' | '{') => depth += 1,
            Sign('}') if depth == 0 => return index,
            Sign(')' | ']' | '}') => depth = depth.saturating_sub(1),
            Sign(',') if depth == 0 => return index,
            _ => {}
        }
    }
    tokens.len()
}

/// `Object.defineProperty(exports, "name"`.
fn define_property(tokens: &[Token<'_>], found: &mut Exports) -> Option<usize> {
    let [
        Word("Object"),
        Sign('.'),
        Word("defineProperty"),
        Sign('('),
        rest @ ..,
    ] = tokens
    else {
        return None;
    };
    let taken = exports_object(rest)?;
    let [Sign(','), Text(name), Sign(','), ..] = &rest[taken..] else {
        return None;
    };
    found.names.push(unescape(name));
    Some(4 + taken + 3)
}

/// `__exportStar(require("x"), exports)` and `__export(require("x"))`, as TypeScript writes them,
/// and `__export(module_exports, { a: () => a })`, as esbuild does.
fn star(tokens: &[Token<'_>], found: &mut Exports) -> Option<usize> {
    // `0 && (module.exports = { a, b })`, esbuild's annotation, is an assignment like any other.
    match tokens {
        [Word("__exportStar" | "__export"), Sign('('), rest @ ..] => match rest {
            [Word("require"), Sign('('), Text(specifier), Sign(')'), ..] => {
                found.again.push(unescape(specifier));
                Some(6)
            }
            _ => None,
        },
        // `tslib.__exportStar(require("x"), exports)`: the words before the dot.
        [
            Word(_),
            Sign('.'),
            Word("__exportStar"),
            Sign('('),
            Word("require"),
            Sign('('),
            Text(s),
            ..,
        ] => {
            found.again.push(unescape(s));
            Some(7)
        }
        _ => None,
    }
}

/// Turns the escapes of a string literal that occur in names and specifiers.
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
        } else if let Some(escaped) = chars.next() {
            text.push(match escaped {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            });
        }
    }
    text
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let mut tokens: Vec<Token<'_>> = Vec::new();
    // For each open brace: whether it opened a template's `${`.
    let mut braces: Vec<bool> = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'/' if bytes.get(at + 1) == Some(&b'/') => at = line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => at = comment_end(bytes, at + 2),
            b'/' if starts_regex(tokens.last()) => at = regex_end(bytes, at + 1),
            b'"' | b'\'' => {
                let end = string_end(bytes, at + 1, byte);
                tokens.push(Text(text.get(at + 1..end).unwrap_or("")));
                at = end + 1;
            }
            b'`' => {
                at = template_end(bytes, at + 1, &mut braces);
                tokens.push(Text(""));
            }
            b'}' if braces.last() == Some(&true) => {
                braces.pop();
                at = template_end(bytes, at + 1, &mut braces);
            }
            byte if is_word(byte) => {
                let end = at + bytes[at..].iter().take_while(|b| is_word(**b)).count();
                tokens.push(Word(text.get(at..end).unwrap_or("")));
                at = end;
            }
            byte if byte.is_ascii_whitespace() => at += 1,
            byte => {
                if byte == b'{' {
                    braces.push(false);
                } else if byte == b'}' {
                    braces.pop();
                }
                tokens.push(Sign(char::from(byte)));
                at += 1;
            }
        }
    }
    tokens
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// A slash after a value divides; anywhere else it starts a regular expression.
fn starts_regex(before: Option<&Token<'_>>) -> bool {
    match before {
        None => true,
        Some(Word(word)) => matches!(
            *word,
            "return"
                | "typeof"
                | "case"
                | "in"
                | "of"
                | "delete"
                | "void"
                | "throw"
                | "new"
                | "else"
                | "do"
        ),
        Some(Text(_)) => false,
        Some(Sign(sign)) => !matches!(sign, ')' | ']' | '}'),
    }
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    from + bytes[from..].iter().take_while(|b| **b != b'\n').count()
}

fn comment_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or(&[]);
    rest.windows(2)
        .position(|pair| pair == b"*/")
        .map_or(bytes.len(), |index| from + index + 2)
}

fn string_end(bytes: &[u8], from: usize, quote: u8) -> usize {
    let mut at = from;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'\n' => return at,
            byte if byte == quote => return at,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn regex_end(bytes: &[u8], from: usize) -> usize {
    let mut in_class = false;
    let mut at = from;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'\n' => return at,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'/' if !in_class => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// Past the template's end, or past a `${`, which is noted as an open brace.
fn template_end(bytes: &[u8], from: usize, braces: &mut Vec<bool>) -> usize {
    let mut at = from;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'`' => return at + 1,
            b'$' if bytes.get(at + 1) == Some(&b'{') => {
                braces.push(true);
                return at + 2;
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, names: &[&str], again: &[&str]) {
        let found = exports_of(text);
        assert_eq!(found.names, names, "{text}");
        assert_eq!(found.again, again, "{text}");
    }

    #[test]
    fn assignments() {
        check(
            "exports.a = 1; module.exports.b = 2; exports['c-d'] = 3",
            &["a", "b", "c-d"],
            &[],
        );
        check("exports.a = exports.b = void 0;", &["a", "b"], &[]);
        check(
            "exports.a == 1; exports.b === 2; x.exports.c = 3; my.module.exports.d = 4",
            &[],
            &[],
        );
    }

    #[test]
    fn whole_objects() {
        check(
            "module.exports = { a, b: 1, 'c': [1, 2], d() { return {x:1} }, get e() { return 1 } }",
            &["a", "b", "c", "d", "e"],
            &[],
        );
        check("module.exports = { a, ...other, b }", &["a"], &[]);
        check(
            "module.exports = { ...require('./x'), a }",
            &["a"],
            &["./x"],
        );
        check("module.exports = require(\"./y\");", &[], &["./y"]);
        check("0 && (module.exports = { a, b });", &["a", "b"], &[]);
        check(
            "module.exports = function () {}; module.exports.z = 1",
            &["z"],
            &[],
        );
    }

    #[test]
    fn compilers_forms() {
        check(
            "Object.defineProperty(exports, \"__esModule\", { value: true });",
            &["__esModule"],
            &[],
        );
        check(
            "Object.defineProperty(exports, 'x', { enumerable: true, get: function () { return y; } });",
            &["x"],
            &[],
        );
        check(
            "__exportStar(require(\"./a\"), exports); tslib_1.__exportStar(require('./b'), exports);",
            &[],
            &["./a", "./b"],
        );
    }

    #[test]
    fn what_is_not_code_is_stepped_over() {
        check(
            "// exports.a = 1\n/* exports.b = 2 */ 'exports.c = 3'; `exports.d = ${exports.e = 1} exports.f = 1`; /exports.g = 1/.test(x)",
            &["e"],
            &[],
        );
        check("x = a / exports.b / c; exports.d = 1", &["d"], &[]);
        check("exports.a = '\\'exports.b = 1'", &["a"], &[]);
        check("`unclosed ${", &[], &[]);
        check("/unclosed", &[], &[]);
    }
}
