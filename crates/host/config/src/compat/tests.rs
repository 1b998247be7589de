//! Tables of dates and flags, and the table of flags against itself and the sources.

use std::path::Path;

use super::*;

const TODAY: Date = Date::new(2026, 11, 24);

fn at(date: &str, flags: &[&str]) -> Result<Vec<&'static str>, CompatError> {
    resolve_at(TODAY, date, flags, Experimental::Refused)
}

#[test]
fn dates_parse_or_do_not() {
    let check = |text: &str, expect: Option<Date>| assert_eq!(Date::parse(text), expect, "{text}");
    check("2026-01-02", Some(Date::new(2026, 1, 2)));
    check("2000-01-01", Some(Date::new(2000, 1, 1)));
    check("2022-02-30", Some(Date::new(2022, 2, 30)));
    check("1999-01-01", None);
    check("2026-1-2", None);
    check("2026-13-01", None);
    check("2026-00-01", None);
    check("2026-01-32", None);
    check("2026/01/02", None);
    check("2026-+1-02", None);
    check("2026-01-02T00:00", None);
    check("20\u{e9}6-01-02", None);
    check("", None);
}

#[test]
fn days_become_dates() {
    let check = |day: u64, expect: &str| assert_eq!(Date::of_day(day).to_string(), expect);
    check(0, "1970-01-01");
    check(59, "1970-03-01");
    check(11_016, "2000-02-29");
    check(20_453, "2025-12-31");
    check(20_454, "2026-01-01");
    assert!(Date::today() > Date::new(2026, 1, 1));
}

#[test]
fn what_a_date_turns_on() {
    let check = |date: &str, flags: &[&str], name: &str, expect: bool| {
        let found = at(date, flags).unwrap().contains(&name);
        assert_eq!(found, expect, "{name} at {date} with {flags:?}");
    };
    check("2022-10-30", &[], "url_standard", false);
    check("2022-10-31", &[], "url_standard", true);
    check("2022-10-31", &["url_original"], "url_standard", false);
    check("2021-01-01", &["url_standard"], "url_standard", true);
    check("2000-01-01", &[], "r2_public_beta_bindings", true);
    check("2024-09-22", &["nodejs_compat"], "nodejs_compat_v2", false);
    check("2024-09-23", &["nodejs_compat"], "nodejs_compat_v2", true);
    check(
        "2024-09-23",
        &["nodejs_compat", "no_nodejs_compat_v2"],
        "nodejs_compat_v2",
        false,
    );
    check("2024-09-23", &["nodejs_compat"], "nodejs_zlib", true);
    check("2024-09-23", &[], "nodejs_zlib", false);
    // Two steps: nodejs_compat, the HTTP modules, the HTTP server modules.
    check(
        "2025-09-01",
        &["nodejs_compat"],
        "enable_nodejs_http_server_modules",
        true,
    );
    check("2026-08-04", &[], "nodejs_compat", true);
}

#[test]
fn what_is_refused_and_how() {
    let check = |date: &str, flags: &[&str], expect: &str| {
        assert_eq!(at(date, flags).unwrap_err().to_string(), expect);
    };
    check(
        "soon",
        &[],
        "\"soon\" is not a compatibility date: it must be a day of the calendar, written YYYY-MM-DD",
    );
    check(
        "2026-11-25",
        &[],
        "Can't set compatibility date in the future: \"2026-11-25\". Today's date (UTC) is \
         \"2026-11-24\"",
    );
    check(
        "2026-01-01",
        &["nodejs_compt"],
        "No such compatibility flag: nodejs_compt (did you mean nodejs_compat?)",
    );
    check(
        "2026-01-01",
        &["zzzzzzzz"],
        "No such compatibility flag: zzzzzzzz",
    );
    check(
        "2026-01-01",
        &["url_standard", "url_original"],
        "Compatibility flags are mutually contradictory: url_standard vs url_original",
    );
    check(
        "2026-01-01",
        &["url_standard", "url_standard"],
        "Compatibility flag specified multiple times: url_standard",
    );
    let refused = at("2026-01-01", &["experimental"]).unwrap_err();
    assert_eq!(refused.flag(), Some("experimental"));
    let allowed = resolve_at(
        TODAY,
        "2026-01-01",
        &["experimental"],
        Experimental::Allowed,
    );
    assert!(allowed.unwrap().contains(&"experimental"));
    let many = vec!["a"; FLAGS_MAX + 1];
    assert!(matches!(
        at("2026-01-01", &many),
        Err(CompatError::TooMany { .. })
    ));
}

#[test]
fn no_name_stands_twice_and_implications_are_known() {
    let mut seen = HashSet::new();
    for name in names() {
        assert!(seen.insert(name), "{name} stands twice");
    }
    for flag in FLAGS {
        for other in flag.implied_by {
            assert!(
                FLAGS.iter().any(|flag| flag.on == *other),
                "{other} is not a flag"
            );
        }
    }
}

/// Where the platform keeps the names of all flags.
const NAMES: &str = "compat-names.ts";

#[test]
fn the_platform_knows_the_same_names() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../platform/cloudflare")
        .join(NAMES);
    let text = std::fs::read_to_string(path).unwrap();
    let known: std::collections::BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","))
        .collect();
    let wanted: std::collections::BTreeSet<&str> = FLAGS.iter().map(|flag| flag.on).collect();
    assert_eq!(known, wanted);
}

/// A flag has an effect where the platform, the guest or the bundler asks for it by its quoted name. Names
/// without an underscore are too common as words to be looked for.
#[test]
fn marks_say_what_the_sources_ask_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let mut sources = String::new();
    read_sources(&root.join("platform"), &mut sources);
    read_sources(&root.join("crates/guest"), &mut sources);
    read_sources(&root.join("crates/host/bundle"), &mut sources);
    let mut wrong = Vec::new();
    for flag in FLAGS.iter().filter(|flag| flag.on.contains('_')) {
        let quoted = ['"', '\''].map(|quote| format!("{quote}{}{quote}", flag.on));
        let used = quoted.iter().any(|name| sources.contains(name));
        match (used, flag.effect_here) {
            (true, false) => wrong.push(format!("{}: mark it .here(), code asks for it", flag.on)),
            (false, true) => wrong.push(format!("{}: is marked .here(), no code asks", flag.on)),
            _ => {}
        }
    }
    assert!(
        wrong.is_empty(),
        "in compat/table.rs:\n{}",
        wrong.join("\n")
    );
}

fn read_sources(folder: &Path, into: &mut String) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && !matches!(name.as_str(), "node_modules" | "tests" | "target") {
            read_sources(&path, into);
        } else if name == NAMES {
            // It has them all, and asks for none.
        } else if name.ends_with(".ts") || name.ends_with(".rs") {
            into.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
}
