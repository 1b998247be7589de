//! What a newcomer starts with does what its comments say.

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
