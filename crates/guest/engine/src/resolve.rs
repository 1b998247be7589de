//! What a module specifier means: pure functions over names, no engine in sight.
//!
//! Names are paths without a leading slash ("src/a.js"). A specifier is tried, in order, as a
//! relative path or a path from the root, as a URL in the bundle's file: space, as the exact name of
//! a module, and as a built-in. Files are never searched: no extensions are added, no index.js, no
//! node_modules. Bundlers have done that.
//!
//! Invariant: `resolve` never returns a name the table has not, so what it answers can be loaded.

/// What a specifier means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// A module of the table.
    Module(String),
    /// A specifier that only the platform can say whether it knows (`node:fs`, `cloudflare:workers`).
    Builtin(String),
    /// Neither.
    Missing,
}

/// Schemes whose modules the platform makes.
const BUILTIN_SCHEMES: [&str; 3] = ["node:", "cloudflare:", "workerd:"];

/// Specifiers that may be a built-in of Node.js without its scheme are at most this long.
const BARE_BUILTIN_CHARS_MAX: usize = 32;

/// Names further away than this from what was asked are not suggested.
const SUGGESTION_DISTANCE_MAX: usize = 3;

/// Longer specifiers get no suggestion: the comparison is quadratic.
const SUGGESTION_CHARS_MAX: usize = 256;

/// Where the bundle's modules stand as URLs.
pub(crate) const BUNDLE_URL: &str = "file:///";

/// Resolves `specifier` as `referrer` says it. `known` tells whether the table has a name.
pub(crate) fn resolve(
    specifier: &str,
    referrer: Option<&str>,
    known: impl Fn(&str) -> bool,
) -> Resolved {
    if BUILTIN_SCHEMES
        .iter()
        .any(|scheme| specifier.starts_with(scheme))
    {
        // A module of the bundle may stand in for a built-in, as in workerd.
        return if known(specifier) {
            Resolved::Module(specifier.to_owned())
        } else {
            Resolved::Builtin(specifier.to_owned())
        };
    }
    let path = path_of(specifier, referrer);
    if let Some(path) = &path
        && let Some(name) = name_of_path(path, &known)
    {
        return Resolved::Module(name);
    }
    if known(specifier) {
        return Resolved::Module(specifier.to_owned());
    }
    if path.is_none() && may_be_node_builtin(specifier) {
        return Resolved::Builtin(format!("node:{specifier}"));
    }
    Resolved::Missing
}

/// The path a specifier names, if it is written as one. Bare specifiers are not.
fn path_of(specifier: &str, referrer: Option<&str>) -> Option<String> {
    if let Some(rest) = specifier.strip_prefix(BUNDLE_URL) {
        return Some(join("", without_query(rest)));
    }
    if let Some(rest) = specifier.strip_prefix('/') {
        return Some(join("", rest));
    }
    if specifier.starts_with("./")
        || specifier.starts_with("../")
        || specifier == "."
        || specifier == ".."
    {
        return Some(join(referrer.map_or("", folder_of), specifier));
    }
    None
}

fn name_of_path(path: &str, known: impl Fn(&str) -> bool) -> Option<String> {
    // Tables may write names with a leading "/" or "./", or with a query kept in the name.
    let plain = without_query(path);
    [
        path.to_owned(),
        plain.to_owned(),
        format!("/{plain}"),
        format!("./{plain}"),
    ]
    .into_iter()
    .find(|name| known(name))
}

fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or(path)
}

/// The folder part of a module's name, without a trailing slash.
pub(crate) fn folder_of(name: &str) -> &str {
    let name = name.strip_prefix("./").unwrap_or(name);
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Joins and normalises; `..` at the root stays at the root, as in URLs.
pub(crate) fn join(folder: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(relative.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn may_be_node_builtin(specifier: &str) -> bool {
    specifier.len() <= BARE_BUILTIN_CHARS_MAX
        && specifier.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && specifier
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '/')
}

/// The message for a module that is not there.
pub(crate) fn missing_message<'a>(
    specifier: &str,
    referrer: Option<&str>,
    names: impl Iterator<Item = &'a str>,
) -> String {
    let mut message = match referrer {
        // The words that programs look for when they try whether a built-in module is there.
        _ if specifier.starts_with("node:") || specifier.starts_with("cloudflare:") => {
            format!("No such module \"{specifier}\".")
        }
        Some(referrer) => format!("No such module \"{specifier}\", imported from \"{referrer}\"."),
        None => format!("No such module \"{specifier}\"."),
    };
    if let Some(name) = closest(specifier, names) {
        message.push_str(&format!(" Did you mean \"{name}\"?"));
    }
    message
}

fn closest<'a>(specifier: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = bare(specifier);
    if wanted.is_empty() || wanted.chars().count() > SUGGESTION_CHARS_MAX {
        return None;
    }
    // A short word is close to every other short word, so it must be closer.
    let allowed = SUGGESTION_DISTANCE_MAX.min(wanted.chars().count() / 2);
    names
        .filter(|name| name.chars().count() <= SUGGESTION_CHARS_MAX)
        .map(|name| (distance(wanted, bare(name)), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// A name without what writers leave out or add: leading dots and slashes, a JavaScript extension.
fn bare(name: &str) -> &str {
    let name = name.trim_start_matches(['.', '/']);
    let name = name.strip_prefix("node:").unwrap_or(name);
    [".js", ".mjs", ".cjs", ".ts"]
        .iter()
        .find_map(|extension| name.strip_suffix(extension))
        .unwrap_or(name)
}

/// Levenshtein's edit distance, by characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: [&str; 7] = [
        "index.js",
        "src/a.js",
        "src/deep/b.mjs",
        "bare-package",
        "data.bin",
        "/rooted.js",
        "node:own",
    ];

    fn check(specifier: &str, referrer: Option<&str>, expect: Resolved) {
        let found = resolve(specifier, referrer, |name| TABLE.contains(&name));
        assert_eq!(found, expect, "{specifier} from {referrer:?}");
    }

    fn module(name: &str) -> Resolved {
        Resolved::Module(name.to_owned())
    }

    fn builtin(name: &str) -> Resolved {
        Resolved::Builtin(name.to_owned())
    }

    #[test]
    fn relative_specifiers_start_at_the_importer() {
        check("./a.js", Some("src/x.js"), module("src/a.js"));
        check("../index.js", Some("src/x.js"), module("index.js"));
        check("./deep/b.mjs", Some("src/a.js"), module("src/deep/b.mjs"));
        check("../../../../index.js", Some("src/x.js"), module("index.js"));
        check("./src/./deep/../a.js", Some("index.js"), module("src/a.js"));
        check("./a.js", Some("index.js"), Resolved::Missing);
        check("./a.js?v=1", Some("src/x.js"), module("src/a.js"));
    }

    #[test]
    fn absolute_paths_and_urls_start_at_the_root() {
        check("/src/a.js", Some("src/deep/b.mjs"), module("src/a.js"));
        check("file:///src/a.js", None, module("src/a.js"));
        check("/rooted.js", None, module("/rooted.js"));
        check("https://example.com/a.js", None, Resolved::Missing);
    }

    #[test]
    fn bare_specifiers_are_names() {
        check("bare-package", Some("src/a.js"), module("bare-package"));
        check("index.js", Some("src/a.js"), module("index.js"));
        check("a.js", Some("src/x.js"), Resolved::Missing);
    }

    #[test]
    fn builtins_are_the_platforms_to_know() {
        check("node:fs", None, builtin("node:fs"));
        check("cloudflare:workers", None, builtin("cloudflare:workers"));
        check("assert", None, builtin("node:assert"));
        check("fs/promises", None, builtin("node:fs/promises"));
        check("node:own", None, module("node:own"));
        check("@scope/package", None, Resolved::Missing);
        check("./assert", None, Resolved::Missing);
    }

    #[test]
    fn a_missing_module_names_importer_and_close_match() {
        let message = missing_message(
            "./uitl.js",
            Some("index.js"),
            ["util.js", "x.js"].into_iter(),
        );
        assert_eq!(
            message,
            "No such module \"./uitl.js\", imported from \"index.js\". Did you mean \"util.js\"?"
        );
        let message = missing_message("./util", Some("index.js"), ["util.js"].into_iter());
        assert!(message.ends_with("Did you mean \"util.js\"?"));
        let message = missing_message("zod", Some("index.js"), ["index.js", "app"].into_iter());
        assert_eq!(
            message,
            "No such module \"zod\", imported from \"index.js\"."
        );
        assert_eq!(
            missing_message("x", None, [].into_iter()),
            "No such module \"x\"."
        );
    }

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
