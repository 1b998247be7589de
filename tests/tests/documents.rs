//! What the documents name is there: files, functions in files, tests, and the pages they link to.
//!
//! SPECIFICATION.md's promises have a test of their own. Words that only look like a path (types of
//! media, a user's own files) are those whose first folder is none of the repository's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The folders that a path in a document begins with.
const FOLDERS: [&str; 9] = [
    "bench/",
    "crates/",
    "docs/",
    "fuzz/",
    "platform/",
    "scripts/",
    "templates/",
    "tests/",
    ".ci/",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the repository")
}

fn documents() -> Vec<PathBuf> {
    let pages = |folder: &str| {
        let entries = std::fs::read_dir(root().join(folder)).expect("it is there");
        let paths = entries.map(|entry| entry.expect("it is readable").path());
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "md"))
    };
    ["", "docs", "docs/adr"]
        .into_iter()
        .flat_map(pages)
        .collect()
}

/// A document in its words in backquotes, each with what stands between it and the next.
fn quoted(text: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = text.split('`').skip(1).collect();
    parts
        .chunks(2)
        .map(|pair| (pair[0], pair.get(1).copied().unwrap_or_default()))
        .collect()
}

fn is_name(word: &str) -> bool {
    let part = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !part.is_empty() && part.chars().all(plain)
    };
    word.replace("::", ".").split('.').all(part)
}

/// Whether a source has every part of `Type::method` as a word.
fn has(source: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    name.replace("::", ".")
        .split('.')
        .all(|part| source.split(|c| !is_word(c)).any(|word| word == part))
}

#[derive(Default)]
struct Sources(HashMap<String, Option<String>>);

impl Sources {
    fn text(&mut self, path: &str) -> Option<&str> {
        let read = || std::fs::read_to_string(root().join(path)).ok();
        let entry = self.0.entry(path.to_owned()).or_insert_with(read);
        entry.as_deref()
    }
}

/// What commands leave behind, as `.gitignore` names it.
fn made_by_commands() -> Vec<String> {
    let text = std::fs::read_to_string(root().join(".gitignore")).expect("it is there");
    text.lines()
        .map(|line| line.trim_matches('/').to_owned())
        .collect()
}

#[test]
fn every_file_and_function_that_a_document_names_is_there() {
    let mut sources = Sources::default();
    let made = made_by_commands();
    let mut wrong = Vec::new();
    let (mut paths, mut names) = (0, 0);
    for document in documents() {
        let text = std::fs::read_to_string(&document).expect("it is text");
        let shown = document
            .strip_prefix(root())
            .expect("it is inside")
            .display();
        // The file whose functions are being listed: `file` (`one`, `two`) or `file`: `test`.
        let mut listed: Option<&str> = None;
        for (word, after) in quoted(&text) {
            if FOLDERS.iter().any(|folder| word.starts_with(folder)) && !word.contains(' ') {
                paths += 1;
                if !root().join(word).exists() && !made.iter().any(|made| made == word) {
                    wrong.push(format!("{shown}: there is no {word}"));
                }
                let opens = after.trim_start();
                let lists = opens == "(" || opens == ":";
                listed = (lists && after.trim() == opens).then_some(word);
                continue;
            }
            if let Some(file) = listed {
                if is_name(word)
                    && let Some(source) = sources.text(file)
                {
                    names += 1;
                    if !has(source, word) {
                        wrong.push(format!("{shown}: {file} has no {word}"));
                    }
                }
                if after.trim() != "," {
                    listed = None;
                }
            }
        }
    }
    // Else the documents are not written as this test takes them to be.
    assert!(paths > 300 && names > 200, "{paths} paths, {names} names");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut wrong = Vec::new();
    let mut links = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document).expect("it is text");
        let folder = document.parent().expect("a file is in a folder");
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            links += 1;
            if !folder.join(target).exists() {
                wrong.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(links > 15, "{links} links");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
