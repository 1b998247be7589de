//! URLs: parsing and setters by the WHATWG URL Standard.
//!
//! `ada-url` does the work: measured against the tables of web-platform-tests it passes all 891
//! parses, 278 setters and the IDNA tables, where the `url` crate misses 69 parses and 22 setters.
//! The platform's `URL` cuts its components out of the href by the offsets given here, and does
//! `origin` and `searchParams` itself.
//!
//! Invariant: an href is ASCII, so an offset in bytes is one in UTF-16 units.

use ada_url::{Idna, Url};
use mayfly_engine::data::{Args, Data, OpDecl, OpError, OpResult};

use crate::{HasOps, op};

/// An input longer than this does not parse. The offsets are 32 bits wide and percent-encoding
/// makes up to nine characters of one, so this keeps far from both edges.
pub const URL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What the offsets say for a part that is not there.
const ABSENT: u32 = u32::MAX;

pub fn declarations<S: HasOps>() -> Vec<OpDecl<S>> {
    vec![
        op("urlParse", url_parse::<S>),
        op("urlSet", url_set::<S>),
        op("urlDomainToAscii", url_domain_to_ascii::<S>),
        op("urlDomainToUnicode", url_domain_to_unicode::<S>),
    ]
}

fn url_parse<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (input, base) = (args.string(0)?, args.optional_string(1)?);
    if too_long(&input) || base.as_deref().is_some_and(too_long) {
        return Ok(Data::Undefined);
    }
    Ok(match Url::parse(input.as_str(), base.as_deref()) {
        Ok(url) => components(&url),
        Err(_) => Data::Undefined,
    })
}

fn url_set<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (href, component, value) = (args.string(0)?, args.string(1)?, args.string(2)?);
    if too_long(&href) || too_long(&value) {
        return Ok(Data::Undefined);
    }
    let mut url = Url::parse(href.as_str(), None)
        .map_err(|_| OpError::type_error("urlSet: the href does not parse"))?;
    Ok(match set(&mut url, &component, &value)? {
        Setting::Taken => components(&url),
        Setting::Refused => Data::Undefined,
    })
}

enum Setting {
    Taken,
    Refused,
}

fn set(url: &mut Url, component: &str, value: &str) -> Result<Setting, OpError> {
    let result = match component {
        "href" => url.set_href(value),
        "protocol" => url.set_protocol(value),
        "username" => url.set_username(Some(value)),
        "password" => url.set_password(Some(value)),
        "host" => url.set_host(Some(value)),
        "hostname" => url.set_hostname(Some(value)),
        "port" => url.set_port(Some(value)),
        "pathname" => url.set_pathname(Some(value)),
        "search" => {
            url.set_search(Some(value));
            Ok(())
        }
        "hash" => {
            url.set_hash(Some(value));
            Ok(())
        }
        other => {
            return Err(OpError::type_error(format!(
                "urlSet: a URL has no component \"{other}\""
            )));
        }
    };
    Ok(match result {
        Ok(()) => Setting::Taken,
        Err(_) => Setting::Refused,
    })
}

fn components(url: &Url) -> Data {
    let parts = url.components();
    let offsets = [
        parts.protocol_end,
        parts.username_end,
        parts.host_start,
        parts.host_end,
        parts.port.unwrap_or(ABSENT),
        parts.pathname_start.unwrap_or(ABSENT),
        parts.search_start.unwrap_or(ABSENT),
        parts.hash_start.unwrap_or(ABSENT),
    ];
    let mut all = vec![Data::String(url.href().to_owned())];
    all.extend(offsets.map(|offset| Data::Number(f64::from(offset))));
    Data::List(all)
}

fn url_domain_to_ascii<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let domain = args.string(0)?;
    let ascii = if too_long(&domain) {
        String::new()
    } else {
        Idna::ascii(&domain)
    };
    Ok(Data::String(ascii))
}

fn url_domain_to_unicode<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let domain = args.string(0)?;
    let unicode = if too_long(&domain) {
        String::new()
    } else {
        Idna::unicode(&domain)
    };
    Ok(Data::String(unicode))
}

fn too_long(text: &str) -> bool {
    text.len() > URL_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        OpsState,
        testing::{call, text},
    };

    fn parse(input: &str, base: Option<&str>) -> Option<Vec<Data>> {
        let args = vec![text(input), base.map_or(Data::Undefined, text)];
        list(call(&mut OpsState::new(), "urlParse", args).unwrap())
    }

    fn list(value: Data) -> Option<Vec<Data>> {
        match value {
            Data::List(items) => Some(items),
            _ => None,
        }
    }

    fn href(parsed: Option<Vec<Data>>) -> Option<String> {
        match parsed?.swap_remove(0) {
            Data::String(href) => Some(href),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn urls_parse_to_their_href() {
        let check = |input: &str, base: Option<&str>, expect: Option<&str>| {
            assert_eq!(
                href(parse(input, base)).as_deref(),
                expect,
                "{input} {base:?}"
            );
        };
        check(
            " HTTP://EX\tample.org:80/a/../b ",
            None,
            Some("http://example.org/b"),
        );
        check(
            "../x?y#z",
            Some("https://h/a/b/c"),
            Some("https://h/a/x?y#z"),
        );
        check("//other", Some("https://h/a"), Some("https://other/"));
        check(
            "https://fa\u{df}.de/\u{e9}",
            None,
            Some("https://xn--fa-hia.de/%C3%A9"),
        );
        check("http://0x7f.1", None, Some("http://127.0.0.1/"));
        check(
            "http://[::ffff:1.2.3.4]",
            None,
            Some("http://[::ffff:102:304]/"),
        );
        check(
            "non-special:opaque  ?hi",
            None,
            Some("non-special:opaque %20?hi"),
        );
        check("file:\\\\//", None, Some("file:////"));
        check("x", None, None);
        check("http://a b/", None, None);
        check("http://h:65536", None, None);
        check("http://xn--a\u{df}/", None, None);
        check("x", Some("mailto:a"), None);
    }

    #[test]
    fn offsets_cut_the_href() {
        let parsed = parse("https://user:pass@example.com:1234/foo/bar?baz#quux", None).unwrap();
        let offsets = [6.0, 12.0, 17.0, 29.0, 1234.0, 34.0, 42.0, 46.0];
        assert_eq!(parsed[1..], offsets.map(Data::Number));
        let parsed = parse("data:x", None).unwrap();
        let absent = f64::from(ABSENT);
        let offsets = [5.0, 5.0, 5.0, 5.0, absent, 5.0, absent, absent];
        assert_eq!(parsed[1..], offsets.map(Data::Number));
    }

    fn set(from: &str, component: &str, value: &str) -> Option<String> {
        let args = vec![text(from), text(component), text(value)];
        href(list(call(&mut OpsState::new(), "urlSet", args).unwrap()))
    }

    #[test]
    fn setters_follow_the_standard() {
        let check = |from: &str, component: &str, value: &str, expect: Option<&str>| {
            let found = set(from, component, value);
            assert_eq!(found.as_deref(), expect, "{from} {component} {value}");
        };
        check("http://h/", "protocol", "https:x", Some("https://h/"));
        check("http://h/", "port", "8080x", Some("http://h:8080/"));
        check("http://h:8080/", "port", "", Some("http://h/"));
        check("http://h/?q", "search", "", Some("http://h/"));
        check("http://h/", "hash", "#a b", Some("http://h/#a%20b"));
        check("http://h/p", "hostname", "a:1", None);
        check("http://h/p", "host", "a:1", Some("http://a:1/p"));
        check("http://h/", "href", "not a url", None);
        check("mailto:a", "username", "u", None);
    }

    #[test]
    fn an_input_over_the_bound_does_not_parse() {
        assert_eq!(
            parse(&format!("http://h/{}", "a".repeat(URL_BYTES_MAX)), None),
            None
        );
    }

    #[test]
    fn domains_go_both_ways() {
        let state = &mut OpsState::new();
        let ascii = call(state, "urlDomainToAscii", vec![text("espa\u{f1}ol.com")]);
        assert_eq!(ascii, Ok(text("xn--espaol-zwa.com")));
        let unicode = call(
            state,
            "urlDomainToUnicode",
            vec![text("xn--espaol-zwa.com")],
        );
        assert_eq!(unicode, Ok(text("espa\u{f1}ol.com")));
    }
}
