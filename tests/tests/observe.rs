//! What an operator sees of a running host: usage, metrics, health, `mayfly tail`, OpenTelemetry.

use mayfly_tests::{Server, binary, wait_until};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A folder that is gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("mayfly-observe-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn text(&self) -> &str {
        self.0.to_str().expect("temporary folders have plain names")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn usage(state: &Folder, arguments: &[&str]) -> (String, String) {
    let output = Command::new(binary("mayfly"))
        .args(["usage", "--state", state.text()])
        .args(arguments)
        .output()
        .expect("mayfly usage runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

fn rows(state: &Folder, by: &str) -> Vec<Value> {
    let (text, _) = usage(state, &["--json", "--by", by]);
    let report: Value = serde_json::from_str(&text).expect("the report is JSON");
    report["rows"].as_array().expect("it has rows").clone()
}

fn row<'a>(rows: &'a [Value], key: &str) -> &'a Value {
    let found = rows.iter().find(|row| row["key"] == key);
    found.unwrap_or_else(|| panic!("no row {key} in {rows:#?}"))
}

#[test]
fn usage_counts_requests_and_workers() {
    let state = Folder::new("usage");
    let mut server = Server::start_with(&["observe"], &["--state", state.text()]);
    for _ in 0..3 {
        server.get("/hello");
        server.get("/load");
        server.get("/get?id=a");
    }
    server.get("/get?id=b");
    // The same id with other code: after its guest is gone, which a new host sees to below.
    assert_eq!(server.get("/rpc?id=a").body, "2");
    server.get("/burn");
    server.terminate();
    assert_eq!(server.wait(), Some(0));
    let server = Server::start_with(&["observe"], &["--state", state.text()]);
    server.get("/get?id=a&more=%2F%2F");
    drop(server.get("/hello"));
    wait_until("the last second to be written", || {
        row(&rows(&state, "id"), "observed")["requests"] == 14
    });
    // Killed: what was written stays.
    drop(server);
    let ids = rows(&state, "id");
    assert_eq!(row(&ids, "observed")["workerDays"], 0);
    let loads = row(&ids, "observed/(load)");
    assert_eq!(
        (&loads["requests"], &loads["workerDays"]),
        (&3.into(), &3.into())
    );
    // Three fetches, one RPC call on the entrypoint (not those on what it returned), one fetch of
    // other code, which makes another Worker of it.
    let a = row(&ids, "observed/a");
    assert_eq!((&a["requests"], &a["workerDays"]), (&5.into(), &2.into()));
    let b = row(&ids, "observed/b");
    assert_eq!((&b["requests"], &b["workerDays"]), (&1.into(), &1.into()));
    let all = rows(&state, "worker");
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["requests"], 14 + 3 + 5 + 1);
    assert_eq!(all[0]["workerDays"], 6);
    let cpu = all[0]["cpuMs"].as_f64().expect("CPU is a number");
    assert!((20.0..2000.0).contains(&cpu), "{cpu}");
    for field in ["wallMs", "bytesIn", "bytesOut", "memoryPeakBytes"] {
        assert!(
            all[0][field].as_f64().is_some_and(|value| value > 0.0),
            "{field}"
        );
    }
    let (table, _) = usage(&state, &["--by", "day"]);
    assert!(
        table.contains("to pay") && table.contains("$0.00"),
        "{table}"
    );
    let (csv, _) = usage(&state, &["--csv"]);
    assert!(
        csv.starts_with("key,requests,cpu_ms,") && csv.contains("\nobserved,23,"),
        "{csv}"
    );
    let prices = state.0.join("prices.json");
    std::fs::write(prices, r#"{"worker_days": {"usd": 1.5, "included": 2}}"#).expect("a file");
    let (table, _) = usage(&state, &[]);
    assert!(
        table.contains("$6.00"),
        "four Worker-days at $1.50: {table}"
    );
}

#[test]
fn usage_counts_what_leaves_the_host_for_the_worker_that_asked() {
    let state = Folder::new("egress");
    let bounds = ["--allow-egress", "127.0.0.1", "--state", state.text()];
    let mut server = Server::start_with(&["observe"], &bounds);
    let to = format!("http://127.0.0.1:{}/hello", server.port());
    for _ in 0..3 {
        let reply = server.get(&format!("/out?to={to}"));
        assert_eq!(reply.body, "child got hello");
    }
    let refused = server.get("/out?to=http://10.0.0.1/");
    assert!(refused.status >= 500, "{}", refused.body);
    server.terminate();
    assert_eq!(server.wait(), Some(0));
    let all = rows(&state, "id");
    let of = |key: &str| {
        let row = all.iter().find(|row| row["key"] == key);
        row.unwrap_or_else(|| panic!("{key}: {all:?}"))
    };
    let child = of("observed/outgoing");
    // One that is refused was asked for all the same.
    assert_eq!(child["egressRequests"], 4, "{child}");
    let sent = child["egressSentBytes"].as_u64().expect("a count");
    assert!((4000..6000).contains(&sent), "{child}");
    let received = child["egressReceivedBytes"].as_u64().expect("a count");
    assert!((15..1500).contains(&received), "{child}");
    // Its parent only called it.
    assert_eq!(of("observed")["egressRequests"], 0);
}

#[test]
fn runaway_ids_are_warned_about() {
    let state = Folder::new("runaway");
    let server = Server::start_with(
        &["observe"],
        &["--state", state.text(), "--guests-max", "64"],
    );
    for n in 0..1005 {
        server.get(&format!("/get?id=request-{n}"));
    }
    wait_until("the last second to be written", || {
        rows(&state, "worker")[0]["workerDays"] == 1005
    });
    let (_, warning) = usage(&state, &[]);
    assert!(
        warning.contains("1005 ids of observed that begin with \"request-\""),
        "{warning}"
    );
    let (table, _) = usage(&state, &[]);
    // Five more than are included.
    assert!(table.contains("$0.01"), "{table}");
}

fn get(url: &str, host: &str) -> (u16, String) {
    let address = url
        .strip_prefix("http://")
        .expect("a URL")
        .split('/')
        .next()
        .expect("an address");
    let path = url.splitn(4, '/').nth(3).unwrap_or("");
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("a status"), answer)
}

#[test]
fn the_admin_listener_tells_health_and_metrics() {
    let server = Server::start_with(&["observe"], &["--admin", "127.0.0.1:0"]);
    let admin = server.admin();
    for _ in 0..4 {
        server.get("/load");
    }
    server.get("/throw");
    assert!(
        get(&format!("{admin}/healthz"), "localhost")
            .1
            .ends_with("ok\n")
    );
    let mut text = String::new();
    wait_until("five invocations of the front", || {
        text = get(&format!("{admin}/metrics"), "127.0.0.1:1").1;
        text.contains("event=\"fetch\",outcome=\"exception\"} 1")
            && text.contains("event=\"fetch\",outcome=\"ok\"} 8")
    });
    for expect in [
        "# TYPE mayfly_invocations_total counter",
        "mayfly_invocations_total{worker=\"observed\",event=\"fetch\",outcome=\"ok\"} 8",
        "mayfly_invocation_wall_seconds_bucket{worker=\"observed\",event=\"fetch\",outcome=\"ok\",le=\"+Inf\"} 8",
        "mayfly_guest_ends_total{reason=\"released\"}",
        "mayfly_guests_live 1",
    ] {
        assert!(text.contains(expect), "{expect}\n{text}");
    }
    assert_eq!(get(&format!("{admin}/nothing"), "localhost").0, 404);
    assert_eq!(get(&format!("{admin}/tail?colour=red"), "localhost").0, 400);
    // A name that points at this machine from elsewhere is no way in.
    assert_eq!(get(&format!("{admin}/metrics"), "rebound.example").0, 421);
}

/// `mayfly tail` under test: its lines as they come.
struct Tail {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Tail {
    fn start(server: &Server, arguments: &[&str]) -> Self {
        let admin = server.admin();
        let address = admin.strip_prefix("http://").expect("a URL").to_owned();
        let mut child = Command::new(binary("mayfly"))
            .args(["tail", "--admin", &address])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("mayfly tail starts");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stdout = child.stdout.take().expect("stdout is piped");
        let into = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                into.lock().expect("no reader panics").push(line);
            }
        });
        Self { child, lines }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no reader panics").clone()
    }

    /// Asks `path` until something of it is seen: following begins a moment after the start.
    fn wait_for(&self, server: &Server, path: &str, text: &str) {
        wait_until(&format!("{text:?} in {:?}", self.lines()), || {
            let _ = server.try_get(path);
            std::thread::sleep(Duration::from_millis(30));
            self.lines().iter().any(|line| line.contains(text))
        });
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn tail_shows_what_happens_as_it_happens() {
    let server = Server::start_with(&["observe"], &["--admin", "127.0.0.1:0"]);
    let tail = Tail::start(&server, &[]);
    tail.wait_for(&server, "/log?text=one%1b%5b2J", "(log) said one");
    let lines = tail.lines();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("GET http://127.0.0.1") && line.contains(" 200 - ok, ")),
        "{lines:#?}"
    );
    assert!(
        !lines.iter().any(|line| line.contains('\u{1b}')),
        "{lines:#?}"
    );
    tail.wait_for(&server, "/throw", "TypeError: thrown on purpose");
    tail.wait_for(&server, "/load", "(log) in the child");
}

#[test]
fn tail_filters() {
    let server = Server::start_with(&["observe"], &["--admin", "127.0.0.1:0"]);
    let errors = Tail::start(&server, &["--status", "error", "--json"]);
    let child = Tail::start(&server, &["LOADER/a", "--json"]);
    let found = Tail::start(&server, &["--search", "needle", "--json"]);
    let none = Tail::start(&server, &["--method", "POST", "--method", "PUT", "--json"]);
    let sampled = Tail::start(&server, &["--sampling-rate", "0", "--json"]);
    let all = Tail::start(&server, &["--json"]);
    all.wait_for(&server, "/hello", "\"outcome\":\"ok\"");
    errors.wait_for(&server, "/throw", "exception");
    child.wait_for(&server, "/get?id=a", "\"scriptName\":\"LOADER/a\"");
    found.wait_for(&server, "/log?text=a+needle+here", "needle");
    server.get("/log?text=hay");
    let item: Value = serde_json::from_str(&child.lines()[0]).expect("a line is JSON");
    assert_eq!(
        item["logs"][0]["message"],
        serde_json::json!(["in the child"])
    );
    assert_eq!(item["root"], "observed");
    assert!(
        errors
            .lines()
            .iter()
            .all(|line| line.contains("\"outcome\":\"exception\""))
    );
    assert!(child.lines().iter().all(|line| line.contains("LOADER/a")));
    assert!(found.lines().iter().all(|line| line.contains("needle")));
    assert_eq!(none.lines(), [] as [String; 0]);
    assert_eq!(sampled.lines(), [] as [String; 0]);
}

#[test]
fn tail_says_that_nobody_is_there() {
    let output = Command::new(binary("mayfly"))
        .args(["tail", "--admin", "127.0.0.1:1"])
        .output()
        .expect("mayfly tail runs");
    assert_eq!(output.status.code(), Some(9));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no host answers at 127.0.0.1:1"), "{said}");
}

// ---- OpenTelemetry

/// Paths and bodies, in the order they came.
type Posted = Vec<(String, Vec<u8>)>;

/// A collector: what was posted to which path.
struct Collector {
    address: String,
    posted: Arc<Mutex<Posted>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("it is bound"));
        let posted = Arc::new(Mutex::new(Vec::new()));
        let into = posted.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let into = into.clone();
                std::thread::spawn(move || serve(stream, &into));
            }
        });
        Self { address, posted }
    }

    fn posted(&self, path: &str) -> Vec<Vec<u8>> {
        let posted = self.posted.lock().expect("no server panics");
        let of_path = posted.iter().filter(|(to, _)| to == path);
        of_path.map(|(_, body)| body.clone()).collect()
    }

    fn spans(&self) -> Vec<Span> {
        let decode =
            |body: Vec<u8>| ExportTraceServiceRequest::decode(&body[..]).expect("it decodes");
        let requests = self.posted("/v1/traces").into_iter().map(decode);
        let resources = requests.flat_map(|request| request.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

fn serve(stream: TcpStream, into: &Mutex<Vec<(String, Vec<u8>)>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        reader
            .read_line(&mut line)
            .ok()
            .filter(|count| *count > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        into.lock().expect("no server panics").push((path, body));
        reader
            .get_mut()
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .ok()?;
    }
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    let found = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == name)?;
    Some(format!("{:?}", found.value.as_ref()?.value.as_ref()?))
}

#[test]
fn telemetry_reaches_a_collector() {
    let collector = Collector::start();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address.as_str()),
        ("OTEL_SERVICE_NAME", "under-test"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
    ];
    let mut server = Server::start_in(&["observe"], &[], &variables);
    server.get("/span");
    server.get("/throw");
    wait_until("spans and metrics", || {
        collector.spans().len() >= 5 && collector.posted("/v1/metrics").len() >= 2
    });
    server.terminate();
    assert_eq!(server.wait(), Some(0));
    let spans = collector.spans();
    let named = |name: &str| -> &Span {
        let found = spans.iter().find(|span| span.name == name);
        found.unwrap_or_else(|| panic!("no span {name} in {spans:#?}"))
    };
    let of_worker = |worker: &str, wanted: &str| -> &Span {
        let found = spans.iter().find(|span| {
            attribute(span, "mayfly.worker").is_some_and(|value| value.contains(worker))
                && attribute(span, "mayfly.outcome").is_some_and(|value| value.contains(wanted))
        });
        found.unwrap_or_else(|| panic!("no span of {worker} in {spans:#?}"))
    };
    // One trace from the front through a span of its own and a call to the child it loaded.
    let front = of_worker("\"observed\"", "ok");
    let (outer, call, child) = (
        named("outer"),
        named("fetch"),
        of_worker("LOADER/load", "ok"),
    );
    for span in [outer, call, child] {
        assert_eq!(span.trace_id, front.trace_id, "{}", span.name);
    }
    assert_eq!(outer.parent_span_id, front.span_id);
    assert_eq!(call.parent_span_id, outer.span_id);
    assert_eq!(child.parent_span_id, call.span_id);
    assert!(attribute(outer, "count").is_some_and(|value| value.contains('3')));
    assert!(
        attribute(call, "http.response.status_code").is_some_and(|value| value.contains("200"))
    );
    let failed = of_worker("\"observed\"", "exception");
    assert!(failed.events.iter().any(|event| event.name == "exception"));
    assert_ne!(failed.trace_id, front.trace_id);
    let decode =
        |body: &Vec<u8>| ExportMetricsServiceRequest::decode(&body[..]).expect("it decodes");
    let last = decode(
        collector
            .posted("/v1/metrics")
            .last()
            .expect("there are some"),
    );
    let resource = last.resource_metrics[0]
        .resource
        .as_ref()
        .expect("a resource");
    assert!(format!("{:?}", resource.attributes).contains("under-test"));
    let text = format!("{last:?}");
    for name in [
        "mayfly.invocations",
        "mayfly.invocation.cpu",
        "mayfly.guests.live",
    ] {
        assert!(text.contains(name), "{name}");
    }
}

#[test]
fn what_telemetry_cannot_do_is_said_at_the_start() {
    let output = Command::new(binary("mayfly"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("workers/observe/wrangler.jsonc"))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .output()
        .expect("mayfly runs");
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("there is http/protobuf"), "{said}");
}
