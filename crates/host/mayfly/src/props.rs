//! `props` of a configured service, from JSON to the platform's codec.
//!
//! The codec's home is `platform/cloudflare/rpc/tags.ts`; these few forms are those that JSON needs,
//! and never the shortest ones. An end-to-end test holds the two together.

use serde_json::Value;

const NULL: u8 = 1;
const TRUE: u8 = 2;
const FALSE: u8 = 3;
const DOUBLE: u8 = 5;
const UTF16: u8 = 8;
const OBJECT: u8 = 10;
const ARRAY: u8 = 11;

/// Low bits of a key's length: it is UTF-16 and seen for the first time. The codec allows a key to
/// be spelled out again.
const KEY_UTF16: usize = 2;

/// JSON text to bytes of the codec. No `props` are no bytes.
pub fn encode(json: Option<&str>) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::new();
    if let Some(json) = json {
        value(&serde_json::from_str(json)?, &mut out);
    }
    Ok(out)
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
            varint(entries.len(), out);
            for (key, item) in entries {
                varint(key.encode_utf16().count() * 4 + KEY_UTF16, out);
                utf16(key, out);
                value(item, out);
            }
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
            OBJECT, 1, 6, b'a', 0, ARRAY, 3, NULL, TRUE, UTF16, 1, 0xe9, 0,
        ];
        assert_eq!(bytes, expect);
        assert!(encode(None).unwrap().is_empty());
    }
}
