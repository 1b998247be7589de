//! R2 over an S3-compatible store, which is a small one in this file: objects, uploads in parts, ranges.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use mayfly_tests::{Server, wait_until, worker};

/// What the store has, and what it was asked.
#[derive(Default)]
struct Shop {
    objects: BTreeMap<String, Vec<u8>>,
    uploads: HashMap<String, BTreeMap<u32, Vec<u8>>>,
    refused: usize,
}

type Shared = Arc<Mutex<Shop>>;

/// A store that knows one bucket, `team`, and one key, `id-of-tests`.
fn open_shop() -> (u16, Shared) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let shop = Shared::default();
    let served = shop.clone();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let shop = served.clone();
            thread::spawn(move || converse(connection, &shop));
        }
    });
    (port, shop)
}

fn converse(connection: TcpStream, shop: &Shared) {
    let mut writer = connection.try_clone().expect("a socket has two ends");
    let mut reader = BufReader::new(connection);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return;
        };
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers
            .get("content-length")
            .and_then(|text| text.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let (status, said, answer) = answer(&method, &target, &headers, body, shop);
        let mut head = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n",
            answer.len()
        );
        for (name, value) in said {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let whole = [head.as_bytes(), b"\r\n", &answer].concat();
        if writer.write_all(&whole).is_err() {
            return;
        }
    }
}

type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

fn answer(
    method: &str,
    target: &str,
    headers: &HashMap<String, String>,
    body: Vec<u8>,
    shop: &Shared,
) -> Answer {
    let mut shop = shop.lock().expect("no test panics while it holds this");
    let signed = headers
        .get("authorization")
        .is_some_and(|given| given.starts_with("AWS4-HMAC-SHA256 Credential=id-of-tests/"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let key = path.strip_prefix("/team/").filter(|_| signed);
    let Some(key) = key.map(str::to_owned) else {
        shop.refused += 1;
        return (403, Vec::new(), Vec::new());
    };
    let etag = || ("etag", "\"tag\"".to_owned());
    let parameter = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(given, _)| *given == name)
            .map(|(_, value)| value.to_owned())
            .next()
    };
    match (method, parameter("uploadId")) {
        ("POST", None) if query.starts_with("uploads") => {
            let id = format!("upload-{}", shop.uploads.len());
            shop.uploads.insert(id.clone(), BTreeMap::new());
            let text = format!(
                "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            );
            (200, Vec::new(), text.into_bytes())
        }
        ("PUT", Some(id)) => {
            let number = parameter("partNumber").and_then(|text| text.parse().ok());
            let upload = shop.uploads.get_mut(&id).expect("a known upload");
            upload.insert(number.expect("a part has a number"), body);
            (200, vec![etag()], Vec::new())
        }
        ("POST", Some(id)) => {
            let parts = shop.uploads.remove(&id).expect("a known upload");
            let sizes: Vec<usize> = parts.values().map(Vec::len).collect();
            let small = sizes
                .iter()
                .rev()
                .skip(1)
                .any(|size| *size < 5 * 1024 * 1024);
            assert!(!small, "a part but the last is too small: {sizes:?}");
            shop.objects
                .insert(key, parts.into_values().flatten().collect());
            let text =
                "<CompleteMultipartUploadResult><ETag>tag</ETag></CompleteMultipartUploadResult>";
            (200, Vec::new(), text.as_bytes().to_vec())
        }
        ("DELETE", Some(id)) => {
            shop.uploads.remove(&id);
            (204, Vec::new(), Vec::new())
        }
        ("PUT", None) => {
            shop.objects.insert(key, body);
            (200, vec![etag()], Vec::new())
        }
        ("GET", None) => {
            let Some(object) = shop.objects.get(&key) else {
                return (404, Vec::new(), Vec::new());
            };
            let modified = ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT".to_owned());
            let range = headers
                .get("range")
                .and_then(|range| range.strip_prefix("bytes="));
            let range = range.and_then(|range| range.split_once('-'));
            let Some((first, last)) = range else {
                return (200, vec![etag(), modified], object.clone());
            };
            let first: usize = first.parse().expect("a number");
            let last: usize = last
                .parse::<usize>()
                .expect("a number")
                .min(object.len() - 1);
            let content = (
                "content-range",
                format!("bytes {first}-{last}/{}", object.len()),
            );
            let part = object[first..=last].to_vec();
            (206, vec![etag(), modified, content], part)
        }
        ("DELETE", None) => {
            shop.objects.remove(&key);
            (204, Vec::new(), Vec::new())
        }
        _ => (405, Vec::new(), Vec::new()),
    }
}

/// `workers/r2` with its buckets in the store.
fn configured(name: &str, port: u16) -> (PathBuf, PathBuf) {
    let folder = std::env::temp_dir().join(format!("mayfly-r2-s3-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    let main = worker("r2").join("index.js");
    let s3 = format!(
        r#""mayfly_s3": {{ "endpoint": "http://127.0.0.1:{port}", "bucket": "team", "credentials": "SHOP" }}"#
    );
    let text = format!(
        r#"{{ "name": "r2", "main": {main:?}, "compatibility_date": "2026-08-01",
            "r2_buckets": [{{ "binding": "BUCKET", "bucket_name": "shared", {s3} }},
                           {{ "binding": "SAME", "bucket_name": "shared", {s3} }},
                           {{ "binding": "OTHER", {s3} }}],
            "worker_loaders": [{{ "binding": "LOADER" }}] }}"#
    );
    let file = folder.join("wrangler.json");
    std::fs::write(&file, text).expect("the test's own folder");
    (folder, file)
}

fn serve(file: &Path, state: &str) -> Server {
    let variables = [
        ("SHOP_ACCESS_KEY_ID", "id-of-tests"),
        ("SHOP_SECRET_ACCESS_KEY", "secret-of-tests"),
    ];
    Server::start_config_in(file, &["--state", state], &variables)
}

#[test]
fn every_case_holds_and_the_bytes_are_in_the_store() {
    let (port, shop) = open_shop();
    let (folder, file) = configured("cases", port);
    let state = folder.join("state");
    let state = state.to_str().expect("the folder for tests is UTF-8");
    let server = serve(&file, state);
    server.every_case("/");
    assert_eq!(
        server.post("/put?key=kept", b"bytes in the store").status,
        200
    );
    {
        let shop = shop.lock().expect("no panic");
        assert_eq!(shop.refused, 0);
        let ours = shop
            .objects
            .keys()
            .all(|key| key.starts_with("mayfly/shared/") || key.starts_with("mayfly/OTHER/"));
        assert!(ours, "{:?}", shop.objects.keys());
        assert!(
            shop.objects
                .values()
                .any(|bytes| bytes == b"bytes in the store")
        );
    }
    mayfly_tests::signal(server.pid(), "KILL");
    drop(server);
    let server = serve(&file, state);
    assert_eq!(server.get("/get?key=kept").body, "bytes in the store");
    assert_eq!(server.post("/put?key=kept", b"other bytes").status, 200);
    wait_until("what was replaced is gone from the store", || {
        let shop = shop.lock().expect("no panic");
        !shop
            .objects
            .values()
            .any(|bytes| bytes == b"bytes in the store")
    });
    drop(server);
    let _ = std::fs::remove_dir_all(&folder);
}
