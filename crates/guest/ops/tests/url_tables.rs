//! The URL tables of web-platform-tests, all of them.
//!
//! The tables are not part of this repository: `MAYFLY_CONFORMANCE_DATA` names the folder that has
//! them under `url/`. Without it these tests say that they were skipped and pass; the tables of our
//! own in `src/url.rs` always run.

#![allow(clippy::unwrap_used, reason = "a panic here is the failure report")]

use mayfly_ops::{Args, Data, OpsState, declarations};
use serde_json::Value;

fn table(name: &str) -> Option<Value> {
    let Some(folder) = std::env::var_os("MAYFLY_CONFORMANCE_DATA") else {
        println!("skipped: MAYFLY_CONFORMANCE_DATA is not set, {name} was not checked");
        return None;
    };
    let path = std::path::Path::new(&folder).join("url").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    Some(serde_json::from_str(&without_lone_surrogates(&text)).unwrap())
}

/// JSON's `\ud800` with no partner becomes `\ufffd`, as it does on the way into an op.
fn without_lone_surrogates(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\u") {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let unit = |from: usize| u32::from_str_radix(escape.get(from..from + 4)?, 16).ok();
        let pair = escape.get(6..8) == Some("\\u")
            && matches!(unit(2), Some(0xd800..0xdc00))
            && matches!(unit(8), Some(0xdc00..0xe000));
        let length = if pair { 12 } else { 6 };
        let lone = !pair && matches!(unit(2), Some(0xd800..0xe000));
        out.push_str(if lone { "\\ufffd" } else { &escape[..length] });
        rest = &escape[length..];
    }
    out + rest
}

fn call(name: &str, args: Vec<Data>) -> Option<Parts> {
    let all = declarations::<OpsState>();
    let op = all.iter().find(|op| op.name == name).unwrap();
    match (op.function)(&mut OpsState::new(), &mut Args::new(args)).unwrap() {
        Data::List(items) => Some(Parts::new(&items)),
        _ => None,
    }
}

fn parse(input: &str, base: Option<&str>) -> Option<Parts> {
    let base = base.map_or(Data::Undefined, |base| Data::String(base.to_owned()));
    call("urlParse", vec![Data::String(input.to_owned()), base])
}

/// A parsed URL cut up as the platform cuts it.
struct Parts {
    href: String,
    offsets: Vec<usize>,
}

const ABSENT: usize = u32::MAX as usize;

impl Parts {
    fn new(items: &[Data]) -> Self {
        let Data::String(href) = &items[0] else {
            panic!("{items:?}");
        };
        let offset = |item: &Data| match item {
            Data::Number(number) => *number as usize,
            other => panic!("{other:?}"),
        };
        let offsets = items[1..].iter().map(offset).collect();
        assert!(href.is_ascii(), "{href}");
        Self {
            href: href.clone(),
            offsets,
        }
    }

    /// A component by the name that `URL` has for it; `None` for those that are not cut out.
    fn component(&self, name: &str) -> Option<&str> {
        let href = self.href.as_str();
        let [
            protocol_end,
            username_end,
            host_start,
            host_end,
            _,
            path,
            search,
            hash,
        ] = self.offsets[..]
        else {
            panic!("{:?}", self.offsets);
        };
        let or = |offset: usize, other: usize| if offset == ABSENT { other } else { offset };
        let hash_start = or(hash, href.len());
        let search_start = or(search, hash_start);
        let slashes = if href[protocol_end..username_end].starts_with("//") {
            2
        } else {
            0
        };
        let at = usize::from(href[host_start..].starts_with('@'));
        let lone = |text: &'static str, found| if found == text { "" } else { found };
        Some(match name {
            "href" => href,
            "protocol" => &href[..protocol_end],
            "username" => &href[protocol_end + slashes..username_end],
            "password" if host_start > username_end => &href[username_end + 1..host_start],
            "password" => "",
            "host" => &href[(host_start + at).min(host_end)..self.host_and_port_end()],
            "hostname" => &href[(host_start + at).min(host_end)..host_end],
            "port" => href[host_end..self.host_and_port_end()].trim_start_matches(':'),
            "pathname" => &href[path..search_start],
            "search" => lone("?", &href[search_start..hash_start]),
            "hash" => lone("#", &href[hash_start..]),
            _ => return None,
        })
    }

    /// Between host and path only a port may stand, or the `/.` that keeps `//` a path.
    fn host_and_port_end(&self) -> usize {
        let (host_end, port, path) = (self.offsets[3], self.offsets[4], self.offsets[5]);
        if port == ABSENT { host_end } else { path }
    }
}

fn text<'a>(row: &'a Value, key: &str) -> Option<&'a str> {
    row.get(key)?.as_str()
}

fn compare(parts: &Parts, expected: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, value) in expected.as_object().unwrap() {
        let (Some(value), Some(found)) = (value.as_str(), parts.component(key)) else {
            continue;
        };
        if found != value {
            wrong.push(format!("{key} is {found:?}, not {value:?}"));
        }
    }
    wrong
}

fn report(table: &str, count: usize, wrong: &[String]) {
    println!("{table}: {count} rows, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 0, "{table} has no rows");
}

#[test]
fn url_test_data() {
    let Some(rows) = table("urltestdata.json") else {
        return;
    };
    let (mut count, mut wrong) = (0, Vec::new());
    for row in rows
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row.is_object())
    {
        count += 1;
        let input = text(row, "input").unwrap();
        match (parse(input, text(row, "base")), row.get("failure")) {
            (None, Some(_)) => {}
            (None, None) => wrong.push(format!("{input:?} does not parse")),
            (Some(parts), Some(_)) => wrong.push(format!("{input:?} parses: {}", parts.href)),
            (Some(parts), None) => {
                // The row's own input is not a component; `compare` skips what it does not know.
                let found = compare(&parts, row);
                wrong.extend(found.iter().map(|error| format!("{input:?}: {error}")));
            }
        }
    }
    report("urltestdata", count, &wrong);
}

#[test]
fn setters() {
    let Some(tables) = table("setters_tests.json") else {
        return;
    };
    let (mut count, mut wrong) = (0, Vec::new());
    for (component, rows) in tables.as_object().unwrap() {
        if component == "comment" {
            continue;
        }
        for row in rows.as_array().unwrap() {
            count += 1;
            let (href, value) = (text(row, "href").unwrap(), text(row, "new_value").unwrap());
            let args = [href, component, value].map(|arg| Data::String(arg.to_owned()));
            // A refused setter leaves the URL as it was.
            let after = call("urlSet", args.into())
                .or_else(|| parse(href, None))
                .unwrap();
            let found = compare(&after, &row["expected"]);
            let name = format!("{href:?}.{component} = {value:?}");
            wrong.extend(found.iter().map(|error| format!("{name}: {error}")));
        }
    }
    report("setters_tests", count, &wrong);
}

fn hosts(name: &str) {
    let Some(rows) = table(name) else { return };
    let (mut count, mut wrong) = (0, Vec::new());
    for row in rows
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row.is_object())
    {
        let Some(input) = text(row, "input").filter(|input| !input.is_empty()) else {
            continue;
        };
        count += 1;
        let parsed = parse(&format!("https://{input}/x"), None);
        let found = parsed.as_ref().and_then(|parts| parts.component("host"));
        if found != text(row, "output") {
            wrong.push(format!(
                "{input:?} gives {found:?}, not {:?}",
                row.get("output")
            ));
        }
    }
    report(name, count, &wrong);
}

#[test]
fn hosts_to_ascii() {
    hosts("toascii.json");
}

#[test]
fn idna_test_v2() {
    hosts("IdnaTestV2.json");
}
