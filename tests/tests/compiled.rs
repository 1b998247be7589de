//! Code that was loaded before is not parsed again, and nothing of it can be told apart from code that
//! was; see `workers/compiled`.

#![expect(clippy::unwrap_used, reason = "a panic is how a test reports")]

use mayfly_tests::{Server, wait_until};

fn serve() -> Server {
    Server::start_with(&["compiled"], &["--admin", "127.0.0.1:0"])
}

/// Modules that were sent compiled so far.
fn sent(server: &Server) -> u64 {
    let url = format!("{}/metrics", server.admin());
    let text = ureq::get(url).call().unwrap().body_mut().read_to_string();
    text.unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("mayfly_modules_sent_compiled_total "))
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn code_that_comes_again_is_sent_compiled_and_answers_the_same() {
    let server = serve();
    let parsed = server.get("/same");
    assert_eq!(parsed.status, 200, "{}", parsed.body);
    for part in [
        "TypeError: böse",
        "main.js:2",
        "lib/where.js:1",
        "lib/deep.js:1",
        "unused7",
    ] {
        assert!(parsed.body.contains(part), "{part}: {}", parsed.body);
    }
    assert_eq!(sent(&server), 0);
    wait_until("all three modules to be sent compiled", || {
        let before = sent(&server);
        assert_eq!(server.get("/same").body, parsed.body);
        sent(&server) == before + 3
    });
    for _ in 0..5 {
        assert_eq!(server.get("/same").body, parsed.body);
    }
}

#[test]
fn code_that_differs_by_a_byte_is_other_code() {
    let server = serve();
    wait_until("code to be sent compiled", || {
        for n in 0..4 {
            assert_eq!(server.get(&format!("/other?n={n}")).body, n.to_string());
        }
        sent(&server) >= 4
    });
    for n in [3, 9, 0, 3, 2] {
        assert_eq!(server.get(&format!("/other?n={n}")).body, n.to_string());
    }
}

#[test]
fn code_that_does_not_compile_says_so_each_time() {
    let server = serve();
    let first = server.get("/wrong").body;
    assert!(first.contains("SyntaxError"), "{first}");
    for _ in 0..6 {
        assert_eq!(server.get("/wrong").body, first);
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
    assert_eq!(sent(&server), 0);
    assert_eq!(server.get("/other?n=1").body, "1");
}
