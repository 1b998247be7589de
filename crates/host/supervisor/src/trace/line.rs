//! What is told of a log line, an exception and a diagnostic: pieces of JSON from what a guest sent.
//!
//! Invariant: of that only well-formed JSON is taken as such, so each piece is well-formed.

use super::now_ms;
use mayfly_wire::bounds::LOG_MESSAGE_BYTES_MAX;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

/// A console line's values. Of what a guest sent only well-formed JSON is taken as such.
pub(super) struct Line<'a> {
    message: Message<'a>,
    errors: Option<&'a RawValue>,
}

enum Message<'a> {
    Json(&'a RawValue),
    /// It was too long and so is no JSON.
    Cut(&'a str),
    /// There are no values, only a text.
    Text(&'a str),
}

#[derive(Deserialize)]
struct WithErrors<'a> {
    #[serde(borrow)]
    m: &'a RawValue,
    #[serde(borrow)]
    e: &'a RawValue,
}

impl<'a> Line<'a> {
    pub(super) fn of(text: &'a str, message: &'a str) -> Self {
        let line = |message| Self {
            message,
            errors: None,
        };
        if message.is_empty() {
            return line(Message::Text(text));
        }
        if message.starts_with('{')
            && let Ok(both) = serde_json::from_str::<WithErrors<'a>>(message)
            && is_array(both.m)
            && is_array(both.e)
            && is_shallow(message)
        {
            return Self {
                message: Message::Json(both.m),
                errors: Some(both.e),
            };
        }
        match serde_json::from_str::<&RawValue>(message) {
            Ok(json) if is_array(json) && is_shallow(message) => line(Message::Json(json)),
            // In whole characters, so that it may be up to three bytes shorter.
            _ if message.len() + 4 > LOG_MESSAGE_BYTES_MAX => line(Message::Cut(message)),
            _ => line(Message::Text(text)),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let message = match &self.message {
            Message::Json(json) => json.get().len(),
            Message::Cut(text) | Message::Text(text) => text.len(),
        };
        message + self.errors.map_or(0, |errors| errors.get().len())
    }

    /// Of a trace item.
    pub(super) fn entry(&self, level: &str) -> String {
        let message = match &self.message {
            Message::Json(json) => json.get().to_owned(),
            Message::Cut(text) | Message::Text(text) => json!([text]).to_string(),
        };
        log_json(now_ms(), level, &message, self.errors)
    }

    /// Of a streaming tail.
    pub(super) fn event(&self, level: &str) -> String {
        let (message, cut) = match &self.message {
            Message::Json(json) => (json.get().to_owned(), ""),
            Message::Cut(text) => (json!(text).to_string(), r#","truncated":true"#),
            Message::Text(text) => (json!([text]).to_string(), ""),
        };
        let errors = errors_json(self.errors);
        format!(r#"{{"type":"log","level":"{level}","message":{message}{cut}{errors}}}"#)
    }
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

pub(super) fn log_json(
    timestamp: u64,
    level: &str,
    message: &str,
    errors: Option<&RawValue>,
) -> String {
    let errors = errors_json(errors);
    format!(r#"{{"timestamp":{timestamp},"level":"{level}","message":{message}{errors}}}"#)
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

    #[test]
    fn a_line_is_well_formed_whatever_a_guest_says() {
        let cases = [
            ("hello", "", r#"["hello"]"#),
            ("hello", r#"["a", {"b": 1}]"#, r#"["a", {"b": 1}]"#),
            ("hello", r#"{"m":[1],"e":[null]}"#, "[1]"),
            ("hello", r#"{"m":1,"e":[null]}"#, r#"["hello"]"#),
            ("hello", r#"[1], "forged": 2"#, r#"["hello"]"#),
            ("he\"llo", "[1", r#"["he\"llo"]"#),
        ];
        for (text, message, expect) in cases {
            let line = Line::of(text, message);
            let entry: Value = serde_json::from_str(&line.entry("log")).unwrap();
            let expect: Value = serde_json::from_str(expect).unwrap();
            assert_eq!(entry["message"], expect, "{message}");
            let event: Value = serde_json::from_str(&line.event("log")).unwrap();
            assert_eq!(event["message"], expect, "{message}");
        }
    }

    #[test]
    fn a_line_that_no_reader_would_read_is_a_text() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let told = |message: &str| Line::of("deep", message).entry("log");
        assert!(told(&nested(64)).contains(&nested(64)));
        let deep = told(&nested(65));
        assert!(deep.contains(r#""message":["deep"]"#), "{deep}");
        // Brackets in a string nest nothing.
        let text = format!(r#"["\\\"{}"]"#, "[".repeat(100));
        assert!(told(&text).contains(&text));
    }

    #[test]
    fn a_cut_line_is_a_string_and_says_so() {
        let message = format!("[\"{}", "a".repeat(LOG_MESSAGE_BYTES_MAX - 2));
        let event: Value = serde_json::from_str(&Line::of("a", &message).event("log")).unwrap();
        assert_eq!(event["truncated"], true);
        assert_eq!(event["message"], message);
    }
}
