//! What a newcomer starts with does what its comments say.

#![expect(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::path::{Path, PathBuf};

use mayfly_tests::Server;

fn template(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../templates")
        .join(name)
        .join("wrangler.jsonc")
}

#[test]
fn hello_starts_its_own_worker_and_yours() {
    let server = Server::start_configs(&[template("hello")], &[]);
    let own = server.get("/");
    assert_eq!(own.status, 200, "{}", own.body);
    assert_eq!(
        own.body,
        "Hello from a Worker that did not exist a moment ago\n"
    );
    let yours =
        b"export default { fetch(r, env) { return new Response(env.GREETING + ', you'); } };";
    assert_eq!(server.post("/", yours).body, "Hello, you");
}

#[test]
fn hello_says_what_is_wrong_with_your_worker() {
    let server = Server::start_configs(&[template("hello")], &[]);
    for (code, expected) in [
        ("export default {", "SyntaxError"),
        ("for (;;);", "CPU"),
        (
            "export default { fetch() { return fetch('https://example.com/'); } };",
            "not permitted to access the internet",
        ),
    ] {
        let reply = server.post("/", code.as_bytes());
        assert_eq!(reply.status, 500, "{code}: {}", reply.body);
        assert!(reply.body.contains(expected), "{code}: {}", reply.body);
    }
}

/// What the model reads of one run for `user`.
fn run_for(server: &Server, user: &str, code: &str) -> serde_json::Value {
    let reply = server.post(&format!("/{user}"), code.as_bytes());
    assert_eq!(reply.status, 200, "{code}: {}", reply.body);
    serde_json::from_str(&reply.body).unwrap()
}

#[test]
fn code_mode_runs_what_a_model_wrote_for_one_user() {
    let server = Server::start_configs(&[template("code-mode")], &["--ephemeral"]);
    let told = server.get("/").body;
    assert!(told.contains("list(): Promise<Note[]>;"), "{told}");
    let kept = run_for(
        &server,
        "ann",
        r#"const tea = await notes.add("buy tea");
           await notes.add("bake");
           console.log("kept", tea.text, { a: 1 });
           return (await notes.list()).map((note) => note.text);"#,
    );
    let expected =
        serde_json::json!({ "result": ["buy tea", "bake"], "logs": ["kept buy tea {\"a\":1}"] });
    assert_eq!(kept, expected);
    // Another user's stub is another's: there is nothing to reach it by.
    assert_eq!(
        run_for(&server, "bob", "return notes.list();")["result"],
        serde_json::json!([])
    );
    let removed = "const [first] = await notes.list(); return [await notes.remove(first.id), await notes.remove(first.id)];";
    assert_eq!(
        run_for(&server, "ann", removed)["result"],
        serde_json::json!([true, false])
    );
}

#[test]
fn code_mode_tells_the_model_what_went_wrong() {
    let server = Server::start_configs(&[template("code-mode")], &["--ephemeral"]);
    for (code, expected) in [
        (
            "return 1 +",
            "SyntaxError: expected expression, got '}'\n    at code.js:2:1",
        ),
        (
            "\n  null.x",
            "TypeError: can't access property \"x\" of null\n    at default (code.js:2:3)",
        ),
        ("await notes.add(\"\");", "TypeError: add() takes a text."),
        ("for (;;);", "Error: Worker exceeded CPU time limit."),
        (
            "return fetch(\"https://example.com/\");",
            "Error: This worker is not permitted to access the internet",
        ),
        (
            "return Object.keys(await import(\"cloudflare:workers\")).includes(\"env\") && notes.env.NOTES.list();",
            "TypeError: ",
        ),
    ] {
        let error = &run_for(&server, "ann", code)["error"];
        let error = error.as_str().unwrap_or_default();
        assert!(error.starts_with(expected), "{code}: {error}");
        assert!(!error.contains("remote"), "{code}: {error}");
    }
}
