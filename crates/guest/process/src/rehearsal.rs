//! The rehearsal: a zygote runs the path of a Worker's first request before there is any Worker.
//!
//! What runs often enough in the zygote is in every fork as optimised code. That is worth more than its
//! speed: baseline code and inline caches count their own runs, and each count is a write to a page
//! that a fork then has to copy. Optimised code counts nothing.
//!
//! One fork of each zygote rehearses once more and tells which pages it wrote (`zygote`); all others
//! have these made their own at once. The Worker is ours, its frames go nowhere, and a real `Start`
//! replaces all that it left.
//!
//! Invariant: nothing of a rehearsal reaches a socket, and none happens once a Worker has started.

use std::sync::Arc;

use mayfly_wire::{
    Blob, Body, CallId, Env, Event, Limits, Module, ModuleKind, Payload, Redirect, RequestHead,
    Start, ToGuest,
};

use crate::convert;
use crate::guest::{GuestEngine, handler_call};

/// Flags of the rehearsed Worker: those without which a start takes something away, which then would be
/// gone in every fork (`platform/cloudflare/compat-effects.ts`), and what most Workers have.
const FLAGS: [&str; 7] = [
    "rpc",
    "enable_ctx_exports",
    "set_tostring_tag",
    "global_navigator",
    "enable_navigator_language",
    "expose_global_message_channel",
    "http_headers_getsetcookie",
];

/// Rounds that make functions hot, and rounds after each wait for the compilers: a function takes up
/// its compiled code when it is called again, and what it then calls gets compiled next.
const HOT_ROUNDS: u32 = 40;
const SETTLING_ROUNDS: [u32; 2] = [10, 10];

/// In a zygote: leaves the path of a first request compiled.
pub fn prepare(engine: &mut GuestEngine) {
    engine.compile_early(true);
    rehearse(engine, HOT_ROUNDS);
    for rounds in SETTLING_ROUNDS {
        engine.finish_compilations();
        rehearse(engine, rounds);
    }
    engine.compile_early(false);
}

/// Rounds where nothing is compiled: functions and caches are there after the first few.
pub const JITLESS_ROUNDS: u32 = 4;

const MAIN: &str = "rehearsal.js";

const SOURCE: &str = r#"
import { WorkerEntrypoint } from "cloudflare:workers";
export class Named extends WorkerEntrypoint {
  add(a, b) { return a + b; }
}
export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    ctx.waitUntil(Promise.resolve(url.searchParams.get("q")));
    return new Response(`${request.method} ${url.pathname}`, { headers: { "x-a": "b" } });
  },
};
"#;

/// Starts a Worker of ours and sends it one request, as often as `rounds` says. How it went does not
/// matter: a platform that fails here fails again when there is someone to tell.
pub fn rehearse(engine: &mut GuestEngine, rounds: u32) {
    engine.state().output.rehearse(true);
    for round in 0..rounds {
        let parts = convert::split_start(start());
        engine.set_modules(parts.modules);
        engine.call("start", vec![parts.info]);
        if let Some((handler, arguments)) = handler_call(request(CallId(round))) {
            engine.call(handler, arguments);
        }
        engine.call("warm", vec![]);
    }
    engine.set_modules(Vec::new());
    let state = engine.state();
    state.output.rehearse(false);
    state.wake_at = None;
    state.holds_new_caps = false;
}

fn start() -> Start {
    Start {
        name: "rehearsal".to_owned(),
        modules: vec![Module {
            name: MAIN.to_owned(),
            kind: ModuleKind::Js {},
            content: Blob(SOURCE.as_bytes().to_vec()),
        }],
        main_module: MAIN.to_owned(),
        compatibility_flags: FLAGS.map(str::to_owned).to_vec(),
        env: Env::Value {
            payload: Payload::empty(),
        },
        outbound: None,
        limits: Limits::NONE,
        actors: vec![],
        heap_bytes_max: 0,
        collect_always: false,
        compiled: vec![],
    }
}

fn request(call: CallId) -> ToGuest {
    let pairs = [("host", "rehearsal.invalid"), ("accept", "*/*")];
    let head = RequestHead {
        method: "GET".to_owned(),
        url: "https://rehearsal.invalid/path?q=1".to_owned(),
        headers: pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        redirect: Redirect::Manual {},
        cf: String::new(),
        encoded: false,
    };
    let event = Event::Fetch {
        request: Arc::new(head),
        body: Body::Empty {},
    };
    ToGuest::Invoke {
        call,
        entrypoint: String::new(),
        props: Payload::empty(),
        event,
    }
}
