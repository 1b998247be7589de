//! What a log should not keep: header values by the words in their names, and stretches of a URL
//! that look like an id or a card number. The same rules as for `tail()`
//! (`platform/cloudflare/tails.ts`), for those who follow from outside.

use serde_json::Value;

const REDACTED: &str = "REDACTED";

/// Redacts a trace item in place.
pub fn item(item: &mut Value) {
    // Events that are no requests have none, and are not given one.
    let Some(request) = item.pointer_mut("/event/request") else {
        return;
    };
    if let Some(headers) = request["headers"].as_array_mut() {
        for header in headers {
            let secret = header[0].as_str().is_some_and(is_secret);
            if secret {
                header[1] = REDACTED.into();
            }
        }
    }
    if let Some(text) = request["url"].as_str() {
        request["url"] = url(text).into();
    }
}

fn is_secret(name: &str) -> bool {
    let words = ["auth", "jwt", "key", "secret", "token"];
    matches!(name, "cookie" | "set-cookie") || words.iter().any(|word| name.contains(word))
}

/// A URL without what looks like a secret.
pub fn url(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut span = String::new();
    let flush = |span: &mut String, out: &mut String| {
        out.push_str(if looks_secret(span) { REDACTED } else { span });
        span.clear();
    };
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || "+-_".contains(c) {
            span.push(c);
        } else {
            flush(&mut span, &mut out);
            out.push(c);
        }
    }
    flush(&mut span, &mut out);
    out
}

fn looks_secret(span: &str) -> bool {
    let count = |wanted: fn(char) -> bool| span.chars().filter(|c| wanted(*c)).count();
    let letters_are_hex = span
        .chars()
        .all(|c| c.is_ascii_hexdigit() || !c.is_ascii_alphanumeric());
    let is_hex_id = letters_are_hex && count(|c| c.is_ascii_hexdigit()) >= 32;
    let is_base64_id = span.len() >= 21
        && count(|c| c.is_ascii_digit()) >= 2
        && count(|c| c.is_ascii_uppercase()) >= 2
        && count(|c| c.is_ascii_lowercase()) >= 2;
    is_hex_id || is_base64_id || is_card_number(span)
}

fn is_card_number(span: &str) -> bool {
    if span.is_empty() || span.chars().any(|c| c.is_ascii_alphabetic()) {
        return false;
    }
    let digits: Vec<u32> = span.chars().filter_map(|c| c.to_digit(10)).collect();
    if !(14..=19).contains(&digits.len()) {
        return false;
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| match (index % 2, digit * 2) {
            (0, _) => *digit,
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_looks_like_a_secret_goes() {
        for (given, expect) in [
            ("https://x/plain/path?a=1", "https://x/plain/path?a=1"),
            (
                "https://x/0123456789abcdef0123456789abcdef/y",
                "https://x/REDACTED/y",
            ),
            (
                "https://x/?t=aB3dEfGhIjKlMnOpQrStU9",
                "https://x/?t=REDACTED",
            ),
            ("https://x/4111-1111-1111-1111", "https://x/REDACTED"),
            (
                "https://x/4111-1111-1111-1112",
                "https://x/4111-1111-1111-1112",
            ),
            ("https://x/é/1", "https://x/é/1"),
        ] {
            assert_eq!(url(given), expect);
        }
        let mut told = json!({"event": {"request": {"url": "https://x/", "headers": [
            ["authorization", "a"], ["x-api-key", "b"], ["accept", "c"],
        ]}}});
        item(&mut told);
        let headers = json!([
            ["authorization", REDACTED],
            ["x-api-key", REDACTED],
            ["accept", "c"]
        ]);
        assert_eq!(told["event"]["request"]["headers"], headers);
    }

    #[test]
    fn an_event_without_a_request_stays_as_it_is() {
        for event in [json!(null), json!("odd"), json!({"cron": "* * * * *"})] {
            let told = json!({"event": event});
            let mut redacted = told.clone();
            item(&mut redacted);
            assert_eq!(redacted, told);
        }
    }
}
