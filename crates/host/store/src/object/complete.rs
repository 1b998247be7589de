//! Where one SQL statement ends and the next begins.
//!
//! The rule of SQLite's own shell: a semicolon ends a statement, but for those inside strings, names
//! and comments, and in `CREATE TRIGGER`, where only `; END;` does. Whether a statement is any good is
//! SQLite's to say.

/// The statements of a text, in their order. The last may lack its semicolon; what is nothing but space,
/// comments and semicolons is none.
pub fn statements(sql: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(length) = first_statement(rest) {
        let (one, after) = rest.split_at(length);
        found.push(one);
        rest = after;
    }
    found.push(rest);
    found.retain(|one| !is_blank(one));
    found
}

/// Whether there is nothing in it that SQLite would run.
fn is_blank(sql: &str) -> bool {
    let mut rest = sql;
    loop {
        rest =
            rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}' || c == ';');
        rest = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, after)| after)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, after)| after)
        } else {
            return rest.is_empty();
        };
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Normal,
    Explain,
    Create,
    Trigger,
    TriggerSemicolon,
    TriggerEnd,
}

/// The length of the whole statement that `sql` begins with, its semicolon included; `None` where
/// there is none.
pub fn first_statement(sql: &str) -> Option<usize> {
    let bytes = sql.as_bytes();
    let mut at = At::Start;
    let mut index = 0;
    while index < bytes.len() {
        let rest = &bytes[index..];
        match rest[0] {
            b';' => {
                index += 1;
                match at {
                    At::Trigger | At::TriggerSemicolon => at = At::TriggerSemicolon,
                    // A semicolon alone is no statement; it belongs to the next one.
                    At::Start => {}
                    _ => return Some(index),
                }
            }
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => index += 1,
            b'-' if rest.get(1) == Some(&b'-') => {
                index += until(rest, b"\n")?;
            }
            b'/' if rest.get(1) == Some(&b'*') => {
                index += 2 + until(&rest[2..], b"*/")?;
            }
            quote @ (b'\'' | b'"' | b'`') => {
                index += 1 + until(&rest[1..], &[quote])?;
                at = after_other(at);
            }
            b'[' => {
                index += until(rest, b"]")?;
                at = after_other(at);
            }
            byte if is_word(byte) => {
                let length = rest.iter().take_while(|byte| is_word(**byte)).count();
                at = after_word(at, &sql[index..index + length]);
                index += length;
            }
            _ => {
                index += 1;
                at = after_other(at);
            }
        }
    }
    None
}

/// Bytes up to and including `end`.
fn until(bytes: &[u8], end: &[u8]) -> Option<usize> {
    bytes
        .windows(end.len())
        .position(|window| window == end)
        .map(|position| position + end.len())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn after_other(at: At) -> At {
    match at {
        At::Trigger | At::TriggerSemicolon | At::TriggerEnd => At::Trigger,
        _ => At::Normal,
    }
}

fn after_word(at: At, word: &str) -> At {
    let is = |other: &str| word.eq_ignore_ascii_case(other);
    match at {
        At::Start | At::Explain if is("create") => At::Create,
        At::Start if is("explain") => At::Explain,
        At::Explain if is("query") || is("plan") => At::Explain,
        At::Create if is("temp") || is("temporary") => At::Create,
        At::Create if is("trigger") => At::Trigger,
        At::TriggerSemicolon if is("end") => At::TriggerEnd,
        other => after_other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::{first_statement, statements};

    #[test]
    fn a_text_is_its_statements_and_comments_are_none() {
        for (sql, expect) in [
            ("", vec![]),
            (" ; -- a\n/* b; */;", vec![]),
            ("-- a", vec![]),
            ("/* a", vec![]),
            ("SELECT 1", vec!["SELECT 1"]),
            ("SELECT 1; -- done", vec!["SELECT 1;"]),
            (
                "-- a\nSELECT 1;SELECT 2 ",
                vec!["-- a\nSELECT 1;", "SELECT 2 "],
            ),
            ("SELECT '--'; -", vec!["SELECT '--';", " -"]),
            (
                "CREATE TRIGGER a BEGIN SELECT 1; END; SELECT 2",
                vec!["CREATE TRIGGER a BEGIN SELECT 1; END;", " SELECT 2"],
            ),
        ] {
            assert_eq!(statements(sql), expect, "{sql}");
        }
    }

    #[test]
    fn statements_end_where_sqlite_says() {
        for (sql, length) in [
            ("", None),
            ("SELECT 1", None),
            ("SELECT 1;", Some(9)),
            ("SELECT 1; SELECT 2;", Some(9)),
            (";; SELECT 1;", Some(12)),
            ("SELECT ';';", Some(11)),
            ("SELECT ';", None),
            ("SELECT \"a;b\", [c;d], `e;f`;", Some(27)),
            ("SELECT 1 -- ;\n;", Some(15)),
            ("SELECT 1 -- ;", None),
            ("SELECT /* ; */ 1;", Some(17)),
            ("CREATE TABLE a(b);", Some(18)),
            (
                "CREATE TRIGGER a AFTER INSERT ON b BEGIN SELECT 1; END;",
                Some(55),
            ),
            (
                "CREATE TRIGGER a BEGIN SELECT 1; SELECT 'END'; END; x",
                Some(51),
            ),
            ("CREATE TEMP TRIGGER a BEGIN SELECT 1;", None),
            ("SELECT '\u{1f41d};' ;", Some(16)),
        ] {
            assert_eq!(first_statement(sql), length, "{sql}");
        }
    }
}
