//! `mayfly run FILE.js`: one module, once.
//!
//! A module whose default export handles `fetch` gets one request, and its answer is printed.
//! Any other is a script: its default export is its result, or makes it where it is a function.
//! A few lines of JavaScript beside the module tell the two apart, since only the guest can.
//!
//! Console lines go where a shell expects them: errors and warnings to standard error, the rest to
//! standard output.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mayfly_config::compat::{Date, Experimental, resolve};
use mayfly_exchange::{Body, Failure, Request, RequestHead, Response, Service};
use mayfly_supervisor::{
    BindingDefinition, Caps, LogLine, Observer, OutboundDefinition, Policy, WorkerDefinition,
};
use mayfly_wire::{Blob, Limits, LogLevel, Module, ModuleKind, Redirect};

use crate::args::{LogForm, RunArgs};
use crate::exit::Exit;
use crate::logs::{self, Printer};
use crate::{guest, host, state};

const WORKER: &str = "run";

/// What the module's own work may take after its answer, such as `ctx.waitUntil`.
const GRACE: Duration = Duration::from_secs(30);

/// Marks the answer of a script, which has none of its own.
const SCRIPT_HEADER: &str = "mayfly-run-script";

/// Runs it.
pub async fn run(arguments: RunArgs) -> Result<(), Exit> {
    logs::start(arguments.runtime.log);
    let definition = define(&arguments.file)?;
    let guest = guest::find(arguments.runtime.guest.as_deref())?;
    let network = host::network(&arguments.runtime);
    let observer: Arc<dyn Observer> = match arguments.runtime.log {
        LogForm::Pretty => Arc::new(Plain(Printer::new(LogForm::Pretty))),
        LogForm::Json => Arc::new(Printer::new(LogForm::Json)),
    };
    let mut options = host::options(guest, &arguments.runtime, observer);
    options.caches = Some(state::caches(None));
    let supervisor = host::supervisor(options).await?;
    let network = host::made(network).await?;
    supervisor
        .deploy(vec![definition], network)
        .map_err(host::explain)?;
    let outcome = match supervisor.service(WORKER, "") {
        Some(service) => ask(service.as_ref(), arguments.url).await,
        None => Err(Exit::Internal("the module was not deployed".to_owned())),
    };
    supervisor.shutdown(GRACE).await;
    outcome
}

/// Endings of sources that have to be built before they run.
const BUILT: [&str; 5] = ["ts", "mts", "cts", "tsx", "jsx"];

fn define(file: &Path) -> Result<WorkerDefinition, Exit> {
    let ending = file.extension().and_then(|ending| ending.to_str());
    if ending.is_some_and(|ending| BUILT.contains(&ending)) {
        return Err(Exit::Refused(format!(
            "{} has to be built first: `mayfly run` takes JavaScript as it is, `mayfly serve` builds",
            file.display()
        )));
    }
    let source = std::fs::read(file).map_err(|source| Exit::File {
        path: file.to_owned(),
        source,
    })?;
    let name = module_name(file);
    let module = |name: &str, source: Vec<u8>| Module {
        name: name.to_owned(),
        kind: ModuleKind::Js {},
        content: Blob(source),
    };
    let main = "mayfly-run-main.js";
    let today = Date::today().to_string();
    let flags = resolve(&today, &["nodejs_compat"], Experimental::Allowed)
        .map_err(|error| Exit::Internal(error.to_string()))?;
    Ok(WorkerDefinition {
        name: WORKER.to_owned(),
        modules: vec![
            module(main, wrapper(&name).into_bytes()),
            module(&name, source),
        ],
        main_module: main.to_owned(),
        compatibility_flags: flags.into_iter().map(str::to_owned).collect(),
        bindings: vec![(
            "LOADER".to_owned(),
            BindingDefinition::Loader {
                shared: None,
                policy: Policy::default(),
            },
        )],
        outbound: OutboundDefinition::Network,
        limits: Limits::NONE,
        caps: Caps::default(),
        tails: Vec::new(),
        streaming_tails: Vec::new(),
        actors: Vec::new(),
    })
}

/// The file's own name, for stacks; a plain one where it could not stand in an import.
fn module_name(file: &Path) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match file.file_name().and_then(|name| name.to_str()) {
        Some(name) if name.chars().all(plain) && name != "mayfly-run-main.js" => name.to_owned(),
        _ => "main.js".to_owned(),
    }
}

fn wrapper(module: &str) -> String {
    format!(
        r#"import * as module from "./{module}";
const main = module.default;
const isClass = typeof main === "function" && typeof main.prototype?.fetch === "function";
export default {{
  async fetch(request, env, ctx) {{
    if (isClass) return new main(ctx, env).fetch(request);
    if (typeof main?.fetch === "function") return main.fetch(request, env, ctx);
    const result = await (typeof main === "function" ? main(env, ctx) : main);
    if (result !== undefined) console.log(result);
    return new Response(null, {{ headers: {{ "{SCRIPT_HEADER}": "1" }} }});
  }},
}};
"#
    )
}

async fn ask(service: &dyn Service, url: String) -> Result<(), Exit> {
    let head = RequestHead {
        method: "GET".to_owned(),
        url,
        headers: Vec::new(),
        redirect: Redirect::Manual {},
        cf: String::new(),
        encoded: false,
    };
    let request = Request {
        head,
        body: Body::Empty,
    };
    let response = service
        .fetch(request)
        .await
        .map_err(|failure| threw(&failure))?;
    if response
        .head
        .headers
        .iter()
        .any(|(name, _)| name == SCRIPT_HEADER)
    {
        return Ok(());
    }
    print(response).await
}

fn threw(failure: &Failure) -> Exit {
    eprintln!("{}", logs::describe(failure));
    Exit::Threw
}

/// The status for people, the body for whatever reads standard output.
async fn print(response: Response) -> Result<(), Exit> {
    let Response { head, body } = response;
    eprintln!("{} {}", head.status, head.status_text);
    match body {
        Body::Empty | Body::Socket(_) => {}
        Body::Full(bytes) => write_out(&bytes),
        Body::Stream { mut reader, .. } => {
            while let Some(piece) = reader.next().await {
                write_out(&piece.map_err(|failure| threw(&failure))?);
            }
        }
    }
    if std::io::stdout().is_terminal() {
        write_out(b"\n");
    }
    Ok(())
}

fn write_out(bytes: &[u8]) {
    // A reader that has seen enough (`| head`) is no error.
    let _ = std::io::stdout().lock().write_all(bytes);
}

/// Console lines without a Worker's name in front: there is only one.
struct Plain(Printer);

impl Observer for Plain {
    fn log(&self, line: LogLine<'_>) {
        let text = format!("{}\n", logs::visible(line.text));
        match line.level {
            LogLevel::Warn {} | LogLevel::Error {} => eprint!("{text}"),
            LogLevel::Debug {} | LogLevel::Log {} | LogLevel::Info {} => write_out(text.as_bytes()),
        }
    }

    fn exception(&self, worker: &str, failure: &Failure) {
        self.0.exception(worker, failure);
    }
}
