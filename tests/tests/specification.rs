//! The promises of SPECIFICATION.md are held by tests that exist, and have numbers of their own.

use std::collections::BTreeSet;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the repository")
}

/// The words in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_promise_names_tests_that_exist() {
    let text = std::fs::read_to_string(root().join("SPECIFICATION.md")).expect("it is there");
    let promises: Vec<&str> = text.split("\n- **").skip(1).collect();
    assert!(promises.len() > 40, "{} promises", promises.len());
    let mut numbers = BTreeSet::new();
    for promise in promises {
        let number = promise
            .split("**")
            .next()
            .expect("split gives one at least");
        assert!(numbers.insert(number), "{number} stands twice");
        // The next section's heading is no part of it.
        let promise = promise
            .split("\n## ")
            .next()
            .expect("split gives one at least");
        let mut file: Option<(&str, String)> = None;
        let mut held = 0;
        for word in quoted(promise) {
            if word.starts_with("mayfly-bench ") {
                held += 1;
            } else if word.ends_with(".rs") {
                let source = std::fs::read_to_string(root().join(word));
                file = Some((
                    word,
                    source.unwrap_or_else(|error| panic!("{number}: {word}: {error}")),
                ));
            } else if let Some((name, source)) = &file {
                let word = word.replace('\n', " ");
                let function = source.contains(&format!("fn {word}("));
                assert!(
                    function || source.contains(&format!("    {word},")),
                    "{number}: there is no {word} in {name}"
                );
                held += 1;
            }
        }
        assert!(held > 0, "{number}: nothing holds it");
    }
}
