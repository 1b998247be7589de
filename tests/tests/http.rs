//! HTTP as a client sees it, against `workers/hello`.

#![expect(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use mayfly_tests::{Server, wait_until};

fn hello() -> Server {
    Server::start(&["hello"])
}

/// Sends raw bytes and reads until the server closes or five seconds pass in silence.
fn raw(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A time-out ends the reading; what arrived by then is what the assertion looks at.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_worker_answers() {
    let reply = hello().get("/");
    assert_eq!((reply.status, reply.body.as_str()), (200, "hello"));
}

#[test]
fn the_request_url_is_absolute() {
    let server = hello();
    let reply = server.get("/url?q=1");
    assert_eq!(
        reply.body,
        format!("GET http://127.0.0.1:{}/url?q=1", server.port())
    );
}

#[test]
fn a_body_is_echoed_with_its_type() {
    let reply = hello().post("/echo", b"payload \xff");
    assert_eq!(reply.status, 200);
    assert!(reply.body.starts_with("payload "));
}

#[test]
fn head_has_headers_and_no_body() {
    let answer = raw(
        &hello(),
        "HEAD /head HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert!(answer.to_lowercase().contains("x-method: head"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn null_body_statuses_have_no_body() {
    let server = hello();
    for code in [204, 205, 304] {
        let answer = raw(
            &server,
            &format!("GET /status?code={code} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        );
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{answer}");
        assert!(
            answer.ends_with("\r\n\r\n") || answer.ends_with("\r\n\r\n0\r\n\r\n"),
            "{answer}"
        );
    }
}

#[test]
fn set_cookie_headers_stay_apart() {
    let reply = hello().get("/cookies");
    let cookies: Vec<&str> = reply
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(cookies, ["a=1; Path=/", "b=2, with a comma"]);
}

#[test]
fn many_headers_pass() {
    let many: String = (0..90).map(|i| format!("x-h{i}: v{i}\r\n")).collect();
    let answer = raw(
        &hello(),
        &format!("GET /headers HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{many}\r\n"),
    );
    assert!(answer.contains(r#"["x-h0","v0"]"#) && answer.contains(r#"["x-h89","v89"]"#));
}

#[test]
fn keep_alive_serves_two_requests_on_one_connection() {
    let answer = raw(
        &hello(),
        "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
}

#[test]
fn http2_with_prior_knowledge() {
    let server = hello();
    let output = std::process::Command::new("curl")
        .args([
            "-s",
            "--max-time",
            "10",
            "--http2-prior-knowledge",
            "-w",
            " %{http_version}",
        ])
        .arg(server.url("/"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello 2");
}

#[test]
fn an_exception_is_a_500_that_names_it() {
    let server = hello();
    let reply = server.get("/throw");
    assert_eq!(reply.status, 500);
    assert!(reply.body.contains("thrown on purpose"), "{}", reply.body);
    server.wait_for_output("thrown on purpose");
}

#[test]
fn a_gigabyte_passes_in_bounded_memory() {
    let server = hello();
    let output = std::process::Command::new("curl")
        .args([
            "-s",
            "--max-time",
            "120",
            "-o",
            "/dev/null",
            "-w",
            "%{size_download}",
        ])
        .arg(server.url("/big?bytes=1073741824"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1073741824");
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kilobytes: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kilobytes < 200 * 1024, "the host grew to {kilobytes} KiB");
}

#[test]
fn an_upload_streams_into_the_worker() {
    let server = hello();
    let body = vec![7; 20 * 1024 * 1024];
    assert_eq!(server.post("/count", &body).body, body.len().to_string());
}

#[test]
fn a_client_that_leaves_aborts_the_request() {
    let server = hello();
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream
        .write_all(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    drop(stream);
    wait_until("the abort to arrive", || {
        server.get("/aborted").body == "the client"
    });
}

#[test]
fn a_port_in_use_is_one_clear_line_and_its_own_exit_code() {
    let server = hello();
    let output = std::process::Command::new(mayfly_tests::binary("mayfly"))
        .arg("serve")
        .arg("--config")
        .arg(mayfly_tests::worker("hello").join("wrangler.jsonc"))
        .arg("--listen")
        .arg(format!("127.0.0.1:{}", server.port()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains(&server.port().to_string()), "{said}");
}
