//! `props` of a configured service, from JSON to the platform's codec.
//!
//! The codec's home is `platform/cloudflare/rpc/tags.ts`; these few forms are those that JSON needs,
//! and never the shortest ones; and texts, in which what is said of a queue travels. An end-to-end test holds
//! the two together.

use serde_json::Value;

const NULL: u8 = 1;
const TRUE: u8 = 2;
const FALSE: u8 = 3;
const DOUBLE: u8 = 5;
const LATIN1: u8 = 7;
const UTF16: u8 = 8;
const OBJECT: u8 = 10;
const ARRAY: u8 = 11;
/// Less than this are Latin-1 texts of 0 to 31 chars, from 32 before it on.
const INT_INLINE: u8 = 0x80;
const STRING_INLINE: u8 = 0x60;

/// Low bits of a key's length: it is UTF-16 and seen for the first time. The codec allows a key to
/// be spelled out again.
const KEY_UTF16: usize = 2;
/// No more keys.
const KEY_END: u8 = 3;

/// JSON text to bytes of the codec. No `props` are no bytes.
pub fn encode(json: Option<&str>) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::new();
    if let Some(json) = json {
        value(&serde_json::from_str(json)?, &mut out);
    }
    Ok(out)
}

/// A text as bytes of the codec.
pub fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 2 + 8);
    value(&Value::String(text.to_owned()), &mut out);
    out
}

/// The text that bytes of the codec are; `None` for anything else.
pub fn read_text(bytes: &[u8]) -> Option<String> {
    let (&tag, rest) = bytes.split_first()?;
    match tag {
        STRING_INLINE..INT_INLINE => latin1(rest, usize::from(tag - STRING_INLINE)),
        LATIN1 => {
            let (count, rest) = read_varint(rest)?;
            latin1(rest, count)
        }
        UTF16 => {
            let (count, rest) = read_varint(rest)?;
            let bytes = rest.get(..count.checked_mul(2)?)?;
            let pairs = bytes.chunks_exact(2);
            let units = pairs.filter_map(|pair| Some(u16::from_le_bytes(pair.try_into().ok()?)));
            Some(String::from_utf16_lossy(&units.collect::<Vec<_>>()))
        }
        _ => None,
    }
}

fn latin1(bytes: &[u8], count: usize) -> Option<String> {
    Some(
        bytes
            .get(..count)?
            .iter()
            .map(|byte| char::from(*byte))
            .collect(),
    )
}

fn read_varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0_usize;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        number |= usize::from(byte & 0x7f) << (index * 7);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(index + 1..)?));
        }
    }
    None
}

fn value(given: &Value, out: &mut Vec<u8>) {
    match given {
        Value::Null => out.push(NULL),
        Value::Bool(true) => out.push(TRUE),
        Value::Bool(false) => out.push(FALSE),
        Value::Number(number) => {
            out.push(DOUBLE);
            out.extend(number.as_f64().unwrap_or(f64::NAN).to_le_bytes());
        }
        Value::String(text) => {
            out.push(UTF16);
            varint(text.encode_utf16().count(), out);
            utf16(text, out);
        }
        Value::Array(items) => {
            out.push(ARRAY);
            varint(items.len(), out);
            items.iter().for_each(|item| value(item, out));
        }
        Value::Object(entries) => {
            out.push(OBJECT);
            for (key, item) in entries {
                varint(key.encode_utf16().count() * 4 + KEY_UTF16, out);
                utf16(key, out);
                value(item, out);
            }
            out.push(KEY_END);
        }
    }
}

fn varint(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number % 0x80) as u8 | 0x80);
        number /= 0x80;
    }
    out.push(number as u8);
}

fn utf16(text: &str, out: &mut Vec<u8>) {
    out.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_becomes_tags() {
        let bytes = encode(Some(r#"{"a":[null,true,"é"]}"#)).unwrap();
        let expect = [
            OBJECT, 6, b'a', 0, ARRAY, 3, NULL, TRUE, UTF16, 1, 0xe9, 0, KEY_END,
        ];
        assert_eq!(bytes, expect);
        assert!(encode(None).unwrap().is_empty());
    }

    #[test]
    fn texts_come_back_and_what_is_none_does_not() {
        for given in ["", "short", "é".repeat(40).as_str(), "\u{1f41d}"] {
            assert_eq!(read_text(&text(given)).as_deref(), Some(given));
        }
        assert_eq!(
            read_text(&[STRING_INLINE + 2, b'a', 0xe9]).as_deref(),
            Some("aé")
        );
        assert_eq!(read_text(&[LATIN1, 1, b'a']).as_deref(), Some("a"));
        let wrong: [&[u8]; 6] = [
            &[],
            &[OBJECT, 3],
            &[LATIN1, 9],
            &[UTF16, 1, 0],
            &[STRING_INLINE + 1],
            &[UTF16, 255, 255, 255, 255, 255],
        ];
        for wrong in wrong {
            assert_eq!(read_text(wrong), None);
        }
    }
}
