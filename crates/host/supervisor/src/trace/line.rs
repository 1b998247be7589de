//! What is told of a log line, an exception and a diagnostic: pieces of JSON from what a guest sent.
//!
//! Invariant: of that only well-formed JSON is taken as such, so each piece is well-formed.

use super::now_ms;
use mayfly_wire::LogValues;
use mayfly_wire::bounds::LOG_MESSAGE_BYTES_MAX;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

/// A console line, as the guest sent it: it comes on a request's path and is read off it.
pub(super) struct Line {
    /// Milliseconds since the epoch.
    pub(super) timestamp: u64,
    pub(super) level: &'static str,
    said: Said,
}

enum Said {
    /// One text.
    Text(String),
    /// Several, by their lengths in UTF-16 units, with a space between two.
    Texts(String, Vec<u32>),
    /// What should be JSON.
    Json(String),
}

/// What becomes of it in JSON.
enum Message<'a> {
    Json(&'a RawValue),
    /// It was too long and so is no JSON.
    Cut(&'a str),
    Texts(Vec<&'a str>),
}

#[derive(Deserialize)]
struct WithErrors<'a> {
    #[serde(borrow)]
    m: &'a RawValue,
    #[serde(borrow)]
    e: &'a RawValue,
}

impl Line {
    pub(super) fn new(level: &'static str, text: &str, values: LogValues) -> Self {
        let said = match values {
            LogValues::Text {} => Said::Text(text.to_owned()),
            LogValues::Texts { lengths } => Said::Texts(text.to_owned(), lengths),
            LogValues::Json { json } => Said::Json(json),
        };
        Self {
            timestamp: now_ms(),
            level,
            said,
        }
    }

    /// Of what it says.
    pub(super) fn bytes(&self) -> usize {
        match &self.said {
            Said::Text(text) | Said::Json(text) => text.len(),
            Said::Texts(text, lengths) => text.len() + size_of_val(lengths.as_slice()),
        }
    }

    /// What it says, and JSON of the errors among its values.
    fn read(&self) -> (Message<'_>, Option<&RawValue>) {
        let json = match &self.said {
            Said::Text(text) => return (Message::Texts(vec![text]), None),
            Said::Texts(text, lengths) => return (Message::Texts(texts(text, lengths)), None),
            Said::Json(json) => json.as_str(),
        };
        if json.starts_with('{')
            && let Ok(both) = serde_json::from_str::<WithErrors<'_>>(json)
            && is_array(both.m)
            && is_array(both.e)
            && is_shallow(json)
        {
            return (Message::Json(both.m), Some(both.e));
        }
        let message = match serde_json::from_str::<&RawValue>(json) {
            Ok(values) if is_array(values) && is_shallow(json) => Message::Json(values),
            // In whole characters, so that it may be up to three bytes shorter.
            _ if json.len() + 4 > LOG_MESSAGE_BYTES_MAX => Message::Cut(json),
            _ => Message::Texts(vec![json]),
        };
        (message, None)
    }

    /// Of a trace item.
    pub(super) fn entry(&self) -> String {
        let (message, errors) = self.read();
        let message = match message {
            Message::Json(json) => json.get().to_owned(),
            Message::Cut(text) => json!([text]).to_string(),
            Message::Texts(texts) => json!(texts).to_string(),
        };
        let (timestamp, level, errors) = (self.timestamp, self.level, errors_json(errors));
        format!(r#"{{"timestamp":{timestamp},"level":"{level}","message":{message}{errors}}}"#)
    }

    /// Of a streaming tail.
    pub(super) fn event(&self) -> String {
        let (message, errors) = self.read();
        let (message, cut) = match message {
            Message::Json(json) => (json.get().to_owned(), ""),
            Message::Cut(text) => (json!(text).to_string(), r#","truncated":true"#),
            Message::Texts(texts) => (json!(texts).to_string(), ""),
        };
        let (level, errors) = (self.level, errors_json(errors));
        format!(r#"{{"type":"log","level":"{level}","message":{message}{cut}{errors}}}"#)
    }
}

/// The texts of those lengths; all of it where a guest's lengths are not those of its line.
fn texts<'a>(line: &'a str, lengths: &[u32]) -> Vec<&'a str> {
    split(line, lengths).unwrap_or_else(|| vec![line])
}

fn split<'a>(line: &'a str, lengths: &[u32]) -> Option<Vec<&'a str>> {
    let mut rest = Some(line);
    let texts = lengths.iter().map(|length| {
        let (text, after) = split_units(rest?, *length as usize)?;
        rest = match after {
            "" => None,
            after => Some(after.strip_prefix(' ')?),
        };
        Some(text)
    });
    let texts = texts.collect::<Option<Vec<_>>>()?;
    rest.is_none().then_some(texts)
}

/// Its first `units` of UTF-16, and what comes after.
fn split_units(text: &str, units: usize) -> Option<(&str, &str)> {
    let mut left = units;
    for (at, character) in text.char_indices() {
        if left == 0 {
            return Some(text.split_at(at));
        }
        left = left.checked_sub(character.len_utf16())?;
    }
    (left == 0).then_some((text, ""))
}

/// How deep a value of a guest's may be nested. Readers of JSON stop somewhere (`serde_json` at 128), and
/// what they cannot read they do not show: a Worker could hide what it did behind a deep log line.
const DEPTH_MAX: usize = 64;

/// Whether well-formed JSON is nested no deeper than that.
pub(super) fn is_shallow(json: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return false;
        }
    }
    true
}

fn is_array(json: &RawValue) -> bool {
    json.get().starts_with('[')
}

fn errors_json(errors: Option<&RawValue>) -> String {
    errors.map_or_else(String::new, |errors| format!(r#","errorInfo":{errors}"#))
}

pub(super) fn exception_json(name: &str, message: &str, stack: &str) -> String {
    let mut entry = json!({"timestamp": now_ms(), "name": name, "message": message});
    if !stack.is_empty() {
        entry["stack"] = json!(stack);
    }
    entry.to_string()
}

/// A stack begins with name and message, which stand beside it.
pub(super) fn without_header<'a>(stack: &'a str, name: &str, message: &str) -> &'a str {
    let rest = match stack.strip_prefix(name) {
        Some(rest) => rest.strip_prefix(": ").unwrap_or(rest),
        None => stack,
    };
    match rest.strip_prefix(message) {
        Some(rest) => rest.strip_prefix('\n').unwrap_or(rest),
        None => rest,
    }
}

pub(super) fn push_item(list: &mut String, item: &str) {
    if !list.is_empty() {
        list.push(',');
    }
    list.push_str(item);
}

pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().enumerate().fold(0u32, |bits, (index, byte)| {
            bits | u32::from(*byte) << (16 - 8 * index)
        });
        for digit in 0..4 {
            text.push(if digit <= group.len() {
                char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, expect) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob\xff", "Zm9vYv8="),
        ] {
            assert_eq!(base64(bytes), expect);
        }
    }

    #[test]
    fn a_stack_loses_its_header_once() {
        let stack = "TypeError: no\nat f (main.js:1:2)";
        assert_eq!(
            without_header(stack, "TypeError", "no"),
            "at f (main.js:1:2)"
        );
        assert_eq!(without_header("at f", "Error", "no"), "at f");
        assert_eq!(without_header("Error: no", "Error", "no"), "");
    }

    fn of_json(json: &str) -> Line {
        let json = json.to_owned();
        Line::new("log", "hello", LogValues::Json { json })
    }

    fn of_texts(text: &str, lengths: &[u32]) -> Line {
        let lengths = lengths.to_vec();
        Line::new("log", text, LogValues::Texts { lengths })
    }

    #[test]
    fn a_line_is_well_formed_whatever_a_guest_says() {
        let of_text = Line::new("log", "he\"llo", LogValues::Text {});
        let cases = [
            (of_text, json!(["he\"llo"])),
            (of_json(r#"["a", {"b": 1}]"#), json!(["a", {"b": 1}])),
            (of_json(r#"{"m":[1],"e":[null]}"#), json!([1])),
            (of_json(r#"{"m":1,"e":[]}"#), json!([r#"{"m":1,"e":[]}"#])),
            (
                of_json(r#"[1], "forged": 2"#),
                json!([r#"[1], "forged": 2"#]),
            ),
            (of_json("[1"), json!(["[1"])),
            (of_json(""), json!([""])),
            (of_texts("ab c", &[2, 1]), json!(["ab", "c"])),
            (
                of_texts("\u{1f600}\" é c", &[3, 1, 1]),
                json!(["\u{1f600}\"", "é", "c"]),
            ),
            (of_texts(" c ", &[0, 1, 0]), json!(["", "c", ""])),
            (of_texts("", &[0]), json!([""])),
            // Lengths that are not those of the line.
            (of_texts("\u{1f600}", &[1]), json!(["\u{1f600}"])),
            (of_texts("ab c", &[2]), json!(["ab c"])),
            (of_texts("ab c", &[2, 2]), json!(["ab c"])),
            (of_texts("ab c", &[2, 1, 0]), json!(["ab c"])),
            (of_texts("ab c", &[u32::MAX]), json!(["ab c"])),
            (of_texts("abc", &[1, 1]), json!(["abc"])),
            (of_texts("ab c", &[]), json!(["ab c"])),
        ];
        for (line, expect) in cases {
            let entry: Value = serde_json::from_str(&line.entry()).unwrap();
            assert_eq!(entry["message"], expect);
            let event: Value = serde_json::from_str(&line.event()).unwrap();
            assert_eq!(event["message"], expect);
        }
    }

    #[test]
    fn a_line_that_no_reader_would_read_is_a_text() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let told = |message: &str| of_json(message).entry();
        assert!(told(&nested(64)).contains(&format!(r#""message":{}"#, nested(64))));
        let deep = told(&nested(65));
        assert!(
            deep.contains(&format!(r#""message":["{}"]"#, nested(65))),
            "{deep}"
        );
        // Brackets in a string nest nothing.
        let text = format!(r#"["\\\"{}"]"#, "[".repeat(100));
        assert!(told(&text).contains(&text));
    }

    #[test]
    fn a_cut_line_is_a_string_and_says_so() {
        let message = format!("[\"{}", "a".repeat(LOG_MESSAGE_BYTES_MAX - 2));
        let event: Value = serde_json::from_str(&of_json(&message).event()).unwrap();
        assert_eq!(event["truncated"], true);
        assert_eq!(event["message"], message);
    }
}
