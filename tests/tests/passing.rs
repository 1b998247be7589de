//! Bodies and streams that a Worker passes on unread: see `workers/passing/index.js`.

use mayfly_tests::Server;

#[test]
fn what_is_passed_on_arrives_as_if_nobody_were_in_between() {
    Server::start(&["passing"]).every_case("/");
}

#[test]
fn the_same_collecting_always() {
    Server::start_with(&["passing"], &["--collect-always"]).every_case("/");
}

#[test]
fn bodies_pass_from_a_client_and_to_it() {
    let server = Server::start(&["passing"]);
    let body = vec![b'x'; 3_000_000];
    assert_eq!(server.post("/through/count", &body).body, "3000000");
    let reply = server.post("/through/echo", &body);
    assert_eq!(reply.status, 200);
    assert!(reply.body.as_bytes() == body);
}
