//! `_headers` and `_redirects`: what a folder of assets says about its answers.
//!
//! Both files are those of the Workers documentation. A line that means nothing is named and left
//! out, as wrangler does, so that one slip does not take a site down.
//!
//! Invariant: rules are tried in the file's order, and matching one takes time linear in the path.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use percent_encoding::utf8_percent_encode;
use regex::Regex;

use super::PATH;

/// Redirects without `*` and placeholders.
const STATIC_MAX: usize = 2000;
/// Redirects with them.
const DYNAMIC_MAX: usize = 100;
/// Blocks of `_headers`.
const HEADER_RULES_MAX: usize = 100;
/// Characters of a line.
const LINE_CHARS_MAX: usize = 2000;
/// Bytes of either file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

const STATUSES: [u16; 6] = [200, 301, 302, 303, 307, 308];

/// What the two files say.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// By path; the first that names it.
    fixed: HashMap<String, Redirect>,
    dynamic: Vec<(Pattern, Redirect)>,
    headers: Vec<(Pattern, Vec<Change>)>,
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redirect {
    /// 200 is the asset of that path under this one's address.
    pub status: u16,
    /// A path, or an absolute URL.
    pub to: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    /// A header, by name and value.
    Set(String, String),
    /// Takes away what an earlier rule, or the answer itself, has set.
    Remove(String),
}

/// A path, or `https://host/path`, with `*` and `:name`.
#[derive(Debug)]
struct Pattern {
    regex: Regex,
    with_host: bool,
}

impl Rules {
    /// Reads what there is; the second is what was left out, a line each.
    pub fn read(folder: &Path) -> std::io::Result<(Self, Vec<String>)> {
        let mut rules = Self::default();
        let mut left_out = Vec::new();
        for name in ["_redirects", "_headers"] {
            let path = folder.join(name);
            match std::fs::metadata(&path) {
                Ok(data) if data.is_file() && data.len() > FILE_BYTES_MAX => {
                    let message = format!("{}: is longer than 1 MiB", path.display());
                    left_out.push(message);
                }
                Ok(data) if data.is_file() => {
                    let text = std::fs::read_to_string(&path)?;
                    let wrong = match name {
                        "_redirects" => rules.read_redirects(&text),
                        _ => rules.read_headers(&text),
                    };
                    let wrong = wrong.into_iter();
                    left_out.extend(wrong.map(|(line, why)| {
                        format!("{}:{line}: {why}; the line is left out", path.display())
                    }));
                }
                _ => {}
            }
        }
        Ok((rules, left_out))
    }

    fn read_redirects(&mut self, text: &str) -> Vec<(usize, String)> {
        let mut wrong = Vec::new();
        for (number, line) in lines(text) {
            if let Err(why) = self.add_redirect(line) {
                wrong.push((number, why));
            }
        }
        wrong
    }

    fn add_redirect(&mut self, line: &str) -> Result<(), String> {
        if line.chars().count() > LINE_CHARS_MAX {
            return Err(format!("is longer than {LINE_CHARS_MAX} characters"));
        }
        let parts: Vec<&str> = line.split_whitespace().collect();
        let (from, to, status) = match parts.as_slice() {
            [from, to] => (*from, *to, 302),
            [from, to, status] => (*from, *to, status.parse().unwrap_or(0)),
            _ => return Err("must be FROM TO [STATUS]".to_owned()),
        };
        if !STATUSES.contains(&status) {
            return Err("the status must be 200, 301, 302, 303, 307 or 308".to_owned());
        }
        let relative = to.starts_with('/') && !to.starts_with("//");
        if !relative && (status == 200 || !is_absolute(to)) {
            let allowed = if status == 200 { "" } else { " or https://" };
            return Err(format!("where it leads must begin with /{allowed}"));
        }
        let redirect = Redirect {
            status,
            to: to.to_owned(),
        };
        if from.starts_with('/') && !from.contains('*') && !has_placeholder(from) {
            if self.fixed.len() >= STATIC_MAX {
                return Err(format!("there are more than {STATIC_MAX} static redirects"));
            }
            self.fixed.entry(from.to_owned()).or_insert(redirect);
            return Ok(());
        }
        if self.dynamic.len() >= DYNAMIC_MAX {
            return Err(format!(
                "there are more than {DYNAMIC_MAX} dynamic redirects"
            ));
        }
        self.dynamic.push((Pattern::new(from)?, redirect));
        Ok(())
    }

    fn read_headers(&mut self, text: &str) -> Vec<(usize, String)> {
        let mut wrong = Vec::new();
        // Whether the lines that follow belong to a rule that counts.
        let mut open = false;
        for (number, line) in lines(text) {
            let result = if line.chars().count() > LINE_CHARS_MAX {
                Err(format!("is longer than {LINE_CHARS_MAX} characters"))
            } else if line.starts_with('/') || is_absolute(line) {
                let rule = self.header_rule(line);
                open = rule.is_ok();
                rule
            } else {
                match (change(line), self.headers.last_mut().filter(|_| open)) {
                    (Ok(change), Some((_, changes))) => {
                        changes.push(change);
                        Ok(())
                    }
                    (Ok(_), None) => Err("stands under no path".to_owned()),
                    (Err(why), _) => Err(why),
                }
            };
            if let Err(why) = result {
                wrong.push((number, why));
            }
        }
        wrong
    }

    fn header_rule(&mut self, line: &str) -> Result<(), String> {
        if self.headers.len() >= HEADER_RULES_MAX {
            return Err(format!("there are more than {HEADER_RULES_MAX} rules"));
        }
        self.headers.push((Pattern::new(line)?, Vec::new()));
        Ok(())
    }

    /// Where a path of a host leads, if anywhere else.
    pub fn redirect(&self, host: &str, path: &str) -> Option<Redirect> {
        if let Some(found) = self.fixed.get(path) {
            return Some(found.clone());
        }
        self.dynamic.iter().find_map(|(pattern, redirect)| {
            let parts = pattern.matched(host, path)?;
            Some(Redirect {
                to: filled(&redirect.to, &parts),
                status: redirect.status,
            })
        })
    }

    /// Makes the changes that a path of a host gets to the headers of its asset.
    pub fn change(&self, host: &str, path: &str, headers: &mut Vec<(String, String)>) {
        let mut ours: Vec<String> = Vec::new();
        for (pattern, changes) in &self.headers {
            let Some(parts) = pattern.matched(host, path) else {
                continue;
            };
            for change in changes {
                match change {
                    Change::Remove(name) => {
                        headers.retain(|(given, _)| given != name);
                        ours.retain(|given| given != name);
                    }
                    Change::Set(name, value) => {
                        let value = filled(value, &parts);
                        let set = headers.iter_mut().find(|(given, _)| given == name);
                        match set {
                            // Of two rules both count; the answer's own makes way.
                            Some((_, before)) if ours.contains(name) => {
                                before.push_str(", ");
                                before.push_str(&value);
                            }
                            Some((_, before)) => *before = value,
                            None => headers.push((name.clone(), value)),
                        }
                        ours.push(name.clone());
                    }
                }
            }
        }
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix("https://");
        let bare = bare.or_else(|| text.strip_prefix("http://"));
        if bare.is_none() && !text.starts_with('/') {
            return Err(format!("\"{text}\" must begin with / or https://"));
        }
        let whole = bare.unwrap_or(text);
        let host_end = bare.and_then(|bare| bare.find('/'));
        let mut regex = String::from("^");
        let mut rest = whole;
        while let Some(at) = rest.find(['*', ':']) {
            regex.push_str(&regex::escape(&rest[..at]));
            let in_host = host_end.is_some_and(|end| whole.len() - rest.len() + at < end);
            rest = &rest[at..];
            let name = placeholder(rest);
            match (rest.as_bytes().first(), name) {
                (Some(b'*'), _) => {
                    regex.push_str("(?P<splat>(?s:.*))");
                    rest = &rest[1..];
                }
                (_, Some(name)) => {
                    let part = if in_host { "[^/.]+" } else { "[^/]+" };
                    regex.push_str(&format!("(?P<{name}>{part})"));
                    rest = &rest[1 + name.len()..];
                }
                _ => {
                    regex.push(':');
                    rest = &rest[1..];
                }
            }
        }
        regex.push_str(&regex::escape(rest));
        regex.push('$');
        let regex = Regex::new(&regex)
            .map_err(|_| format!("\"{text}\" has two * or two placeholders of one name"))?;
        Ok(Self {
            regex,
            with_host: bare.is_some(),
        })
    }

    /// What stood for `*` (as `splat`) and for each placeholder, where it matches.
    fn matched(&self, host: &str, path: &str) -> Option<HashMap<&str, String>> {
        let whole = match self.with_host {
            true => Cow::Owned(format!("{host}{path}")),
            false => Cow::Borrowed(path),
        };
        let captures = self.regex.captures(&whole)?;
        let names = self.regex.capture_names().flatten();
        let parts = names.filter_map(|name| {
            let value = captures.name(name)?.as_str();
            // A path may hold what a header may not, once it is decoded.
            Some((name, utf8_percent_encode(value, PATH).to_string()))
        });
        Some(parts.collect())
    }
}

/// Lines that say something, without what surrounds them, and their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().map(str::trim).zip(1..);
    let telling = numbered.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    telling.map(|(line, number)| (number, line))
}

fn is_absolute(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// `Name: value`, or `! Name`.
fn change(line: &str) -> Result<Change, String> {
    if let Some(name) = line.strip_prefix('!') {
        return Ok(Change::Remove(header_name(name)?));
    }
    let (name, value) = line
        .split_once(':')
        .ok_or_else(|| "must be NAME: VALUE, ! NAME or a path".to_owned())?;
    let value = value.trim();
    match http::HeaderValue::from_str(value) {
        Ok(_) if !value.is_empty() => Ok(Change::Set(header_name(name)?, value.to_owned())),
        _ => Err(format!("\"{value}\" cannot be a header's value")),
    }
}

fn header_name(text: &str) -> Result<String, String> {
    let name = http::HeaderName::from_bytes(text.trim().as_bytes());
    name.map(|name| name.as_str().to_owned())
        .map_err(|_| format!("\"{}\" cannot be a header's name", text.trim()))
}

/// The name of the placeholder that a text begins with.
fn placeholder(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(':')?;
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
    let name = &rest[..end];
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        .then_some(name)
}

fn has_placeholder(text: &str) -> bool {
    text.match_indices(':')
        .any(|(at, _)| placeholder(&text[at..]).is_some())
}

/// A template with its placeholders filled in; one that nothing is known of stays.
fn filled(template: &str, parts: &HashMap<&str, String>) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(':') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let found = placeholder(rest).and_then(|name| Some((name, parts.get(name)?)));
        match found {
            Some((name, value)) => {
                out.push_str(value);
                rest = &rest[1 + name.len()..];
            }
            None => {
                out.push(':');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirects(text: &str) -> (Rules, Vec<(usize, String)>) {
        let mut rules = Rules::default();
        let wrong = rules.read_redirects(text);
        (rules, wrong)
    }

    #[test]
    fn redirects_lead_where_the_documentation_says() {
        let text = "# moved\n/home / 301\n/old/* /new/:splat\n/u/:name/posts/:id /p/:id?by=:name 308\n\
            /app /app.html 200\nhttps://:sub.example.com/* https://example.com/:sub/:splat\n\
            /old/first /other\n";
        let (rules, wrong) = redirects(text);
        assert_eq!(wrong, []);
        for (host, path, expect) in [
            ("h", "/home", Some((301, "/"))),
            ("h", "/old/a/b\n", Some((302, "/new/a/b%0A"))),
            // What names a path exactly comes before what matches it.
            ("h", "/old/first", Some((302, "/other"))),
            ("h", "/u/ann/posts/7", Some((308, "/p/7?by=ann"))),
            ("h", "/u/ann/x/posts/7", None),
            ("h", "/app", Some((200, "/app.html"))),
            (
                "a.example.com",
                "/x",
                Some((302, "https://example.com/a/x")),
            ),
            ("a.b.example.com", "/x", None),
            ("h", "/else", None),
        ] {
            let found = rules.redirect(host, path);
            let found = found.as_ref().map(|one| (one.status, one.to.as_str()));
            assert_eq!(found, expect, "{host}{path}");
        }
    }

    #[test]
    fn headers_are_set_joined_and_taken_away() {
        let mut rules = Rules::default();
        let wrong = rules.read_headers(
            "/*\n  X-Frame-Options: DENY\n  Cache-Control: no-store\n  Link: <a>\n\
             /docs/:page\n  Link: </:page>\n  ! x-frame-options\nhttps://x.test/*\n  x-host: x\n",
        );
        assert_eq!(wrong, []);
        let changed = |host: &str, path: &str| {
            let mut headers = vec![("cache-control".to_owned(), "public".to_owned())];
            rules.change(host, path, &mut headers);
            let mut lines: Vec<String> = headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            lines.sort();
            lines.join("; ")
        };
        assert_eq!(
            changed("h", "/"),
            "cache-control: no-store; link: <a>; x-frame-options: DENY"
        );
        assert_eq!(
            changed("h", "/docs/a"),
            "cache-control: no-store; link: <a>, </a>"
        );
        assert!(changed("x.test", "/").contains("x-host: x"));
    }

    #[test]
    fn lines_that_mean_nothing_are_named_and_left_out() {
        let text = "/a\n/b /c 418\n/d ftp://e\n/f https://g 200\nh /i\n/*/* /j\n/ok /yes";
        let (rules, wrong) = redirects(text);
        let numbers: Vec<usize> = wrong.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6], "{wrong:?}");
        assert!(rules.redirect("h", "/ok").is_some());
        let mut rules = Rules::default();
        let wrong = rules.read_headers("x: y\n/a\n  no colon\n  b@d: c\n  ok: yes\n  empty:\n");
        let numbers: Vec<usize> = wrong.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 3, 4, 6], "{wrong:?}");
    }
}
