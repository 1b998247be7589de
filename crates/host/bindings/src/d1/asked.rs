//! What a Worker asks of a D1 database: JSON, taken apart without believing any of it.
//!
//! `[{"sql": "...", "params": [null, 1.5, "text", [0, 255]]}]`, BLOBs as lists of bytes. They are read into
//! bytes at once: as values of JSON they would take thirty times as much.

use std::fmt;

use mayfly_store::d1::{Param, Query};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use super::{BATCH_MAX, PARAMS_MAX};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    sql: String,
    #[serde(default)]
    params: Vec<Value>,
}

struct Value(Param);

/// The queries of a question, or why it is none.
pub fn queries(body: &[u8]) -> Result<Vec<Query>, String> {
    let asked: Vec<Asked> =
        serde_json::from_slice(body).map_err(|error| format!("malformed request: {error}"))?;
    if asked.len() > BATCH_MAX {
        let count = asked.len();
        return Err(format!(
            "too many statements in one batch: {count}, limit {BATCH_MAX}"
        ));
    }
    let queries = asked.into_iter().map(|one| {
        let count = one.params.len();
        if count > PARAMS_MAX {
            return Err(format!(
                "too many SQL variables: {count} are bound, limit {PARAMS_MAX}: SQLITE_ERROR"
            ));
        }
        Ok(Query {
            sql: one.sql,
            params: one.params.into_iter().map(|value| value.0).collect(),
        })
    });
    queries.collect()
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading).map(Self)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Param;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, a number, a string or a list of bytes")
    }

    fn visit_unit<E: Error>(self) -> Result<Param, E> {
        Ok(Param::Null)
    }

    // Numbers of JavaScript are such numbers, whole ones too.
    fn visit_f64<E: Error>(self, number: f64) -> Result<Param, E> {
        Ok(Param::Number(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Param, E> {
        Ok(Param::Number(number as f64))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Param, E> {
        Ok(Param::Number(number as f64))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Param, E> {
        Ok(Param::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Param, E> {
        Ok(Param::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Param, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = items.next_element::<u8>()? {
            bytes.push(byte);
        }
        Ok(Param::Blob(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_each_type_are_read() {
        let body =
            br#"[{"sql": "a", "params": [null, 1, -1.5, "\u00fc", [0, 255], []]}, {"sql": "b"}]"#;
        let read = queries(body).unwrap();
        assert_eq!(
            read[0].params,
            [
                Param::Null,
                Param::Number(1.0),
                Param::Number(-1.5),
                Param::Text("ü".to_owned()),
                Param::Blob(vec![0, 255]),
                Param::Blob(vec![]),
            ]
        );
        assert_eq!((read[1].sql.as_str(), read[1].params.len()), ("b", 0));
    }

    #[test]
    fn what_nobody_of_ours_would_ask_is_refused() {
        let check = |body: &str, words: &str| {
            let error = queries(body.as_bytes()).unwrap_err();
            assert!(error.contains(words), "{body}: {error}");
        };
        check("", "malformed request");
        check("{}", "malformed request");
        check(r#"[{"params": []}]"#, "missing field `sql`");
        check(r#"[{"sql": 1}]"#, "malformed request");
        check(r#"[{"sql": "", "x": 1}]"#, "unknown field");
        check(r#"[{"sql": "", "params": [true]}]"#, "list of bytes");
        check(r#"[{"sql": "", "params": [{}]}]"#, "list of bytes");
        check(r#"[{"sql": "", "params": [[256]]}]"#, "malformed request");
        check(r#"[{"sql": "", "params": [[[0]]]}]"#, "malformed request");
        let many = format!(
            r#"[{{"sql": "", "params": [{}0]}}]"#,
            "0,".repeat(PARAMS_MAX)
        );
        check(&many, "too many SQL variables: 101 are bound, limit 100");
        let many = format!(r#"[{}{{"sql":""}}]"#, r#"{"sql":""},"#.repeat(BATCH_MAX));
        check(
            &many,
            "too many statements in one batch: 10001, limit 10000",
        );
    }
}
