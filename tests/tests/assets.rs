//! Static assets as a client sees them, against `workers/assets`.

use mayfly_tests::{Reply, Server};

fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
    let found = reply.headers.iter().find(|(given, _)| given == name);
    found.map_or("", |(_, value)| value)
}

fn check(server: &Server, table: &[(&str, u16, &str)]) {
    for (path, status, body) in table {
        let reply = server.get(path);
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (*status, *body),
            "{path}"
        );
    }
}

#[test]
fn files_come_before_the_worker_and_pages_have_one_address() {
    let server = Server::start(&["assets"]);
    check(
        &server,
        &[
            ("/", 200, "<h1>home</h1>"),
            ("/about", 200, "<h1>about</h1>"),
            ("/blog/", 200, "blog"),
            ("/style.css", 200, "body{}"),
            ("/elsewhere", 200, "worker GET /elsewhere"),
            ("/_headers", 200, "worker GET /_headers"),
            ("/%2e%2e/index.js", 200, "worker GET /index.js"),
            ("/..%2findex.js", 200, "worker GET /..%2findex.js"),
        ],
    );
    for (from, to) in [("/about.html?q=1", "/about?q=1"), ("/blog", "/blog/")] {
        let reply = server.get(from);
        assert_eq!(
            (reply.status, header(&reply, "location")),
            (307, to),
            "{from}"
        );
    }
    assert_eq!(server.post("/about", b"").body, "worker POST /about");
}

#[test]
fn the_worker_comes_first_where_it_is_told_to_and_has_the_files() {
    let server = Server::start(&["assets"]);
    check(
        &server,
        &[
            ("/api/x", 200, "worker GET /api/x"),
            ("/api/file.txt", 200, "a file"),
            ("/api/through", 200, "200 text/html; charset=utf-8 blog"),
            ("/api/missing", 200, "404 no such doc"),
        ],
    );
}

#[test]
fn a_file_has_a_type_and_a_tag_that_saves_sending_it_again() {
    let server = Server::start(&["assets"]);
    let reply = server.get("/style.css");
    assert_eq!(header(&reply, "content-type"), "text/css; charset=utf-8");
    let tag = header(&reply, "etag").to_owned();
    assert!(tag.len() > 2, "{:?}", reply.headers);
    let again = server.get_with("/style.css", &[("if-none-match", &tag)]);
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    let other = server.get_with("/style.css", &[("if-none-match", "\"x\"")]);
    assert_eq!((other.status, other.body.as_str()), (200, "body{}"));
}

#[test]
fn the_folder_says_what_is_added_and_what_leads_elsewhere() {
    let server = Server::start(&["assets"]);
    let reply = server.get("/style.css");
    assert_eq!(header(&reply, "x-robots-tag"), "noindex");
    assert_eq!(header(&reply, "cache-control"), "public, max-age=3600");
    assert_eq!(header(&server.get("/elsewhere"), "x-robots-tag"), "");
    for (from, status, to) in [
        ("/home?a=1", 301, "/?a=1"),
        ("/old/x%0ay", 302, "/blog/x%0Ay"),
        ("/away/7", 308, "https://example.com/items/7?by=id"),
    ] {
        let reply = server.get(from);
        let location = header(&reply, "location");
        assert_eq!((reply.status, location), (status, to), "{from}");
    }
    check(&server, &[("/company", 200, "<h1>about</h1>")]);
    assert_eq!(server.post("/home", b"").body, "worker POST /home");
}

#[test]
fn a_worker_may_be_nothing_but_its_assets() {
    let server = Server::start(&["assets-only"]);
    check(
        &server,
        &[("/", 200, "<h1>only</h1>"), ("/missing", 404, "")],
    );
    let both = Server::start(&["assets-bound", "assets-only"]);
    check(&both, &[("/", 200, "bound: <h1>only</h1>")]);
}
