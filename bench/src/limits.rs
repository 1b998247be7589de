//! What the limits do: the table of `docs/limits.md`.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use crate::http::Connection;
use crate::peer::{Running, folder};

/// Prints the table, and writes it where asked to.
pub fn run(markdown: Option<&Path>) -> Result<(), String> {
    let config = folder("../tests/workers/limits/wrangler.jsonc");
    let host = Running::start_mayfly(&[&config], &[])?;
    let mut connection = Connection::open(host.port)?;
    let listed = answer(&mut connection, "/")?;
    let names: Vec<&str> = listed
        .as_array()
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let mut table = String::from(
        "| limit | case | value | limit is | stopped after | the caller heard | the tail heard |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let mut failures = Vec::new();
    for name in names {
        let found = answer(&mut connection, &format!("/{name}"))?;
        let line = row(name, &found);
        print!("{line}");
        table.push_str(&line);
        let named = found["error"]["budget"].is_string();
        let thrown = found["error"]["message"].is_string() || found["answer"] == "early";
        if !named && !thrown {
            failures.push(name.to_owned());
        }
    }
    if let Some(path) = markdown {
        let text = format!("{HEAD}{table}");
        std::fs::write(path, text).map_err(|error| format!("write {}: {error}", path.display()))?;
    }
    match failures[..] {
        [] => Ok(()),
        _ => Err(format!("nothing stopped {}", failures.join(", "))),
    }
}

const HEAD: &str = "# Limits

Every limit, the case that exceeds it, and what everybody hears. Made by
`mayfly-bench limits --markdown docs/limits.md`, which runs the cases of `tests/workers/limits`
end to end; `tests/tests/limits.rs` holds them in place. Time is that of the caller, on a machine of two
cores that was busy otherwise; CPU is the kernel's, as the host saw it when it decided.

An error of a limit has own properties for programs: `budget` (a name of the first column), `value` and
`limit` (milliseconds, bytes or a count). An HTTP client gets status 503 and the header
`x-mayfly-limit: cpu; value=50.6; limit=50`. Where the engine can refuse (`WebAssembly.Memory.grow()`, an
ArrayBuffer that no memory could hold) it throws a RangeError, and the Worker goes on; so it does where a
stack is too deep (`Maximum call stack size exceeded`).

Set them in a configuration: `limits` (`cpu_ms`, `subrequests`) as wrangler has it, `mayfly_limits`
(`wall_ms`, `startup_ms`, `memory_mb`, `workers_in_flight`) for a Worker, and both kinds under `limits` of an
entry of `worker_loaders` as a cap on all that it loads. `WorkerCode.limits` and those of
`getEntrypoint()` can only lower them.

`concurrency` counts the distinct dynamic Workers that an invocation has calls at. Above
`workers_in_flight` (128 where nothing is said) a call waits until one of those Workers is done; the
error is for calls above the 1024 that may wait.

";

fn answer(connection: &mut Connection, path: &str) -> Result<Value, String> {
    let (body, _) = connection.get(path)?;
    serde_json::from_slice(&body).map_err(|error| format!("{path}: {error}"))
}

fn row(name: &str, found: &Value) -> String {
    let (limit, case) = name.split_once('/').unwrap_or((name, ""));
    let error = &found["error"];
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.replace('|', "\\|"),
        other => other.to_string(),
    };
    let heard = match (error.is_null(), &found["answer"]) {
        (true, answer) => format!("the answer {}", text(answer)),
        (false, _) => format!("{}: {}", text(&error["name"]), text(&error["message"])),
    };
    let ms = found["ms"].as_f64().unwrap_or_default();
    let mut line = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        line,
        "| {limit} | {} | {} | {} | {ms:.0} ms | {heard} | {} |",
        case.replace('-', " "),
        text(&error["value"]),
        text(&error["limit"]),
        text(&found["outcome"]),
    );
    line
}
