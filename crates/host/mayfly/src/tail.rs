//! `mayfly tail`: follows the invocations of a running host through its admin listener.
//!
//! The host filters and redacts; here a trace item becomes lines for people, or is passed on as it
//! is. Ends when the host does, or with Ctrl-C.

use std::io::{IsTerminal, Write};

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use mayfly_observe::{Filter, Status};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::args::{StatusArg, TailArgs};
use crate::exit::Exit;
use crate::logs::visible;

/// Bytes of one line. The host's are a few hundred kilobytes at most.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Follows until the host or the terminal ends.
pub async fn tail(arguments: TailArgs) -> Result<(), Exit> {
    let filter = filter(&arguments);
    let mut body = connect(&arguments, &filter).await?;
    if !arguments.json {
        eprintln!("following http://{}", arguments.admin);
    }
    let colour = std::io::stdout().is_terminal();
    let mut rest = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| lost(&arguments, &error))?;
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        rest.extend_from_slice(&bytes);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            if show(&line[..end], arguments.json, colour).is_err() {
                // Whoever read the lines has left.
                return Ok(());
            }
        }
        if rest.len() > LINE_BYTES_MAX {
            return Err(Exit::Internal(
                "the host sent a line without an end".to_owned(),
            ));
        }
    }
    Ok(())
}

fn filter(arguments: &TailArgs) -> Filter {
    let status = |status: &StatusArg| match status {
        StatusArg::Ok => Status::Ok,
        StatusArg::Error => Status::Error,
        StatusArg::Canceled => Status::Canceled,
    };
    Filter {
        workers: arguments.workers.clone(),
        statuses: arguments.status.iter().map(status).collect(),
        outcomes: arguments.outcome.clone(),
        methods: arguments.method.clone(),
        search: arguments.search.clone(),
        sample: arguments.sampling_rate,
    }
}

async fn connect(arguments: &TailArgs, filter: &Filter) -> Result<hyper::body::Incoming, Exit> {
    let address = arguments.admin;
    let unreachable = |error: &dyn std::fmt::Display| {
        Exit::Unreachable(format!(
            "no host answers at {address}: {error}; is it running with --admin {address}?"
        ))
    };
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| unreachable(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(&error))?;
    // Its end is the body's end.
    tokio::spawn(connection);
    let request = hyper::Request::get(format!("/tail?{}", filter.query()))
        .header("host", address.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|error| Exit::Internal(error.to_string()))?;
    let answer = sender
        .send_request(request)
        .await
        .map_err(|error| unreachable(&error))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer.into_body());
    }
    let text = answer.into_body().collect().await;
    let text = text.map(|body| body.to_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    Err(Exit::Unreachable(format!(
        "{address} answers {status}: {text}"
    )))
}

fn lost(arguments: &TailArgs, error: &hyper::Error) -> Exit {
    Exit::Unreachable(format!("the host at {} is gone: {error}", arguments.admin))
}

fn show(line: &[u8], json: bool, colour: bool) -> std::io::Result<()> {
    if line.is_empty() {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    if json {
        out.write_all(line)?;
        return out.write_all(b"\n");
    }
    let text = match serde_json::from_slice::<Value>(line) {
        Ok(item) => pretty(&item, colour),
        Err(_) => return Ok(()),
    };
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// `GET https://x/ 200 - ok, 3 ms, cpu 1.2 ms  [front]`, and its log lines below.
fn pretty(item: &Value, colour: bool) -> String {
    if let Some(dropped) = item["dropped"].as_u64() {
        return format!("... {dropped} more invocations than could be shown\n");
    }
    let paint = |code: &'static str| if colour { code } else { "" };
    let outcome = item["outcome"].as_str().unwrap_or("unknown");
    let on = match Status::of(outcome) {
        Status::Ok => paint("\x1b[32m"),
        Status::Error => paint("\x1b[31m"),
        Status::Canceled => paint("\x1b[33m"),
    };
    let (dim, off) = (paint("\x1b[2m"), paint("\x1b[0m"));
    let cpu_ms = item["cpuTimeUs"].as_f64().unwrap_or(0.0) / 1000.0;
    let mut name = text_of(&item["scriptName"]);
    if let Some(entrypoint) = item["entrypoint"].as_str() {
        name = format!("{name}#{}", visible(entrypoint));
    }
    let mut out = format!(
        "{} - {on}{}{off}, {} ms, cpu {cpu_ms:.1} ms  {dim}[{name}]{off}\n",
        about(&item["event"]),
        visible(outcome),
        item["wallTime"].as_u64().unwrap_or(0),
    );
    for log in item["logs"].as_array().into_iter().flatten() {
        let level = text_of(&log["level"]);
        let message = log["message"].as_array().into_iter().flatten();
        let message: Vec<String> = message.map(text_of).collect();
        let message = message.join(" ").replace('\n', "\n      ");
        out.push_str(&format!("    ({level}) {message}\n"));
    }
    for exception in item["exceptions"].as_array().into_iter().flatten() {
        let (name, message) = (text_of(&exception["name"]), text_of(&exception["message"]));
        out.push_str(&format!("    {on}{name}: {message}{off}\n"));
        for line in text_of(&exception["stack"]).lines() {
            out.push_str(&format!("      {dim}{}{off}\n", line.trim_start()));
        }
    }
    if item["truncated"].as_bool() == Some(true) {
        out.push_str("    ... more was logged than a trace keeps\n");
    }
    out
}

fn about(event: &Value) -> String {
    match event["type"].as_str() {
        Some("fetch") => {
            let request = &event["request"];
            let status = event["response"]["status"].as_u64();
            let status = status.map_or_else(String::new, |status| format!(" {status}"));
            format!(
                "{} {}{status}",
                text_of(&request["method"]),
                text_of(&request["url"])
            )
        }
        Some("jsrpc") => format!("{}()", text_of(&event["rpcMethod"])),
        Some("scheduled") => format!("cron \"{}\"", text_of(&event["cron"])),
        Some("queue") => format!("queue {}", text_of(&event["queue"])),
        Some("tail") => "tail".to_owned(),
        _ => "event".to_owned(),
    }
}

/// A Worker's text is not trusted on a terminal.
fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => visible(text),
        other => visible(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_item_is_some_lines() {
        let item = json!({
            "event": {"type": "fetch", "request": {"method": "GET", "url": "http://x/\u{1b}[2J"},
                      "response": {"status": 500}},
            "scriptName": "front", "outcome": "exception", "wallTime": 3, "cpuTimeUs": 1250,
            "logs": [{"level": "log", "message": ["a", 1, {"b": 2}]}],
            "exceptions": [{"name": "Error", "message": "no", "stack": "    at f (a.js:1:1)"}],
            "truncated": true,
        });
        let expect = "GET http://x/\\u{1b}[2J 500 - exception, 3 ms, cpu 1.2 ms  [front]\n    \
                      (log) a 1 {\"b\":2}\n    Error: no\n      at f (a.js:1:1)\n    \
                      ... more was logged than a trace keeps\n";
        assert_eq!(pretty(&item, false), expect);
    }

    #[test]
    fn what_was_dropped_is_said() {
        assert!(pretty(&json!({"dropped": 7}), false).contains("7 more"));
    }
}
