//! What needs a process of its own: forks, limits, termination, helper threads. Each case runs in a
//! fresh copy of this test program, chosen by an environment variable.

#![expect(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::io::Read;
use std::os::fd::FromRawFd;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use mayfly_engine::{
    Called, Data, EXIT_OUT_OF_MEMORY, Engine, EngineOptions, ModuleEntry, ModuleKind, OpDecl,
};

const CASE: &str = "MAYFLY_ENGINE_TEST_CASE";

type Said = Vec<String>;

fn ops() -> Vec<OpDecl<Said>> {
    vec![OpDecl {
        buffers: mayfly_engine::data::Buffers::Copied,
        object: "ops",
        name: "say",
        function: |said, args| {
            said.push(args.string(0)?);
            Ok(Data::Undefined)
        },
    }]
}

const PLATFORM: &str = r#"
const { engine, ops } = globalThis.__mayfly;
delete globalThis.__mayfly;
const say = (value) => ops.say(String(value));
globalThis.say = say;
engine.setHandlers({
  random() { say([Math.random(), Math.random(), Math.random()]); },
  hot() { let n = 0; for (let i = 0; i < 20_000_000; i++) n = (n * 31 + i) | 0; say(n); },
  fill() { const all = []; for (;;) all.push(new Array(1000).fill(all.length)); },
  strings() { const all = []; for (;;) { const s = ("x" + all.length).repeat(1 << 18); s.charCodeAt(1 << 17); all.push(s); } },
  cells() { let all = null; for (;;) all = { all }; },
  buffers() { const all = []; for (;;) { try { all.push(new Uint8Array(1 << 20).fill(1)); } catch (e) { say(e); } } },
  tooLarge() { try { new ArrayBuffer(2 ** 45); say("made"); } catch (e) { say(e.constructor?.name ?? typeof e); } },
  loop() { try { for (;;); } finally { say("finally"); } },
  loopInPromise() { Promise.resolve().then(() => { for (;;); }); },
  wasm(bytes) {
    WebAssembly.compile(bytes).then((m) => say(`compiled ${m instanceof WebAssembly.Module}`));
    WebAssembly.instantiate(bytes).then(({ instance }) => say(`instantiated ${instance.exports.f()}`));
    WebAssembly.compile(new Uint8Array(4)).catch((e) => say(e.name));
  },
  load() { engine.importModule("m.js").then((m) => say(m.default)); },
  rejection(promise, reason) { say(`rejection ${reason}`); },
  uncaught(error) { say(`uncaught ${error}`); },
  builtin() {}, commonJs() {},
});
"#;

fn boot(options: EngineOptions) -> Engine<Said> {
    let mut engine = Engine::new(options, Said::new(), ops()).unwrap();
    engine
        .evaluate_platform(&[("boot.ts", PLATFORM)], "boot.ts")
        .unwrap();
    engine
}

fn said(engine: &mut Engine<Said>, handler: &str, args: Vec<Data>) -> Said {
    assert_eq!(engine.call(handler, args), Called::Quiet, "{handler}");
    std::mem::take(engine.state())
}

fn run(case: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "case", "--nocapture"])
        .env(CASE, case)
        .output()
        .unwrap()
}

fn check(case: &str) {
    let output = run(case);
    assert!(
        output.status.success(),
        "{case}: {:?}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Not a test by itself: the body of the processes that the tests below start.
#[test]
fn case() {
    match std::env::var(CASE).as_deref() {
        Ok("fork") => fork_case(),
        Ok("heap") => heap_case("fill"),
        Ok("strings") => heap_case("strings"),
        Ok("cells") => heap_case("cells"),
        Ok("buffers") => heap_case("buffers"),
        Ok("too_large") => too_large_case(),
        Ok("terminate") => terminate_case(),
        Ok("wasm") => wasm_case(),
        Ok("no_jit") => no_jit_case(),
        Ok(other) => panic!("no case {other}"),
        Err(_) => {}
    }
}

#[test]
fn forks_differ_in_randomness_and_start_with_one_thread() {
    check("fork");
}

#[test]
fn a_full_heap_ends_the_process_with_its_own_code() {
    for case in ["heap", "strings", "cells", "buffers"] {
        let output = run(case);
        let code = output.status.code();
        assert_eq!(code, Some(EXIT_OUT_OF_MEMORY), "{case}: {output:?}");
    }
}

#[test]
fn one_allocation_too_large_can_be_caught() {
    check("too_large");
}

#[test]
fn an_endless_loop_can_be_ended() {
    check("terminate");
}

#[test]
fn webassembly_compiles_asynchronously() {
    check("wasm");
}

#[test]
fn without_a_compiler_it_still_runs() {
    check("no_jit");
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Runs `body` in a fork and gives what it returned.
fn in_fork(body: impl FnOnce() -> String) -> String {
    let mut ends = [0; 2];
    // SAFETY: `pipe` writes two descriptors into the array. The child only runs `body`, writes and
    // leaves by `_exit`; the engine in it has the one thread that forked.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        if libc::fork() == 0 {
            let text = body();
            libc::write(ends[1], text.as_ptr().cast(), text.len());
            libc::_exit(0);
        }
        libc::close(ends[1]);
        let mut text = String::new();
        std::fs::File::from_raw_fd(ends[0])
            .read_to_string(&mut text)
            .unwrap();
        text
    }
}

fn fork_case() {
    let before = threads();
    let mut engine = boot(EngineOptions::default());
    said(&mut engine, "random", vec![]);
    said(&mut engine, "hot", vec![]);
    assert!(threads() > before, "hot code starts a helper");
    engine.prepare_fork();
    assert_eq!(threads(), before);
    let children: Vec<String> = (0..3)
        .map(|_| {
            in_fork(|| {
                engine.after_fork();
                said(&mut engine, "hot", vec![]);
                engine.set_modules(vec![ModuleEntry {
                    name: "m.js".to_owned(),
                    kind: ModuleKind::Js,
                    content: b"export default 'loaded'".to_vec(),
                    compiled: None,
                }]);
                let loaded = said(&mut engine, "load", vec![]).join("");
                said(&mut engine, "random", vec![]).join("") + &loaded
            })
        })
        .collect();
    assert!(
        children.iter().all(|text| text.ends_with("loaded")),
        "{children:?}"
    );
    assert_ne!(children[0], children[1]);
    assert_ne!(children[1], children[2]);
    assert_ne!(children[0], children[2]);
    let parent = said(&mut engine, "random", vec![]).join("");
    assert!(!children.contains(&(parent + "loaded")));
}

fn limit_data(bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: the limit is a plain value that the call only reads.
    let refused = unsafe { libc::setrlimit(libc::RLIMIT_DATA, &raw const limit) };
    assert_eq!(refused, 0);
}

fn heap_case(handler: &str) {
    // Array elements, strings and buffers are no cells of the heap.
    limit_data(256 * 1024 * 1024);
    let mut engine = boot(EngineOptions::default());
    engine.set_limits(64 * 1024 * 1024, false);
    engine.call(handler, vec![]);
    panic!("the heap has no limit: {:?}", engine.state());
}

fn too_large_case() {
    let mut engine = boot(EngineOptions::default());
    engine.set_limits(64 * 1024 * 1024, true);
    let caught = said(&mut engine, "tooLarge", vec![]);
    assert_ne!(caught, ["made"]);
}

fn terminate_case() {
    let mut engine = boot(EngineOptions::default());
    for handler in ["loop", "loopInPromise"] {
        let interrupter = engine.interrupter();
        let waiting = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            interrupter.terminate();
        });
        assert_eq!(
            engine.call(handler, vec![]),
            Called::Terminated,
            "{handler}"
        );
        waiting.join().unwrap();
        assert_eq!(engine.state().len(), 0, "no finally block runs");
        engine.clear_termination();
        assert_eq!(said(&mut engine, "random", vec![]).len(), 1);
    }
}

/// `(module (func (export "f") (result i32) i32.const 42))`.
const WASM: &[u8] = &[
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7f, 3, 2, 1, 0, 7, 5, 1, 1, 0x66, 0, 0,
    10, 6, 1, 4, 0, 0x41, 42, 0x0b,
];

fn wasm_case() {
    let mut engine = boot(EngineOptions::default());
    engine.prepare_fork();
    let rung = Arc::new((Mutex::new(false), Condvar::new()));
    let times = Arc::new(AtomicUsize::new(0));
    let (bell, count) = (Arc::clone(&rung), Arc::clone(&times));
    engine.set_waker(Box::new(move || {
        *bell.0.lock().unwrap() = true;
        bell.1.notify_all();
        count.fetch_add(1, Ordering::Relaxed);
    }));
    let mut all = said(&mut engine, "wasm", vec![Data::Bytes(WASM.to_vec())]);
    while all.len() < 3 {
        let ring = rung.0.lock().unwrap();
        let (mut ring, out) = rung
            .1
            .wait_timeout_while(ring, Duration::from_secs(20), |rung| !*rung)
            .unwrap();
        assert!(!out.timed_out(), "{all:?}");
        *ring = false;
        drop(ring);
        assert_eq!(engine.run_dispatched(), Called::Quiet);
        all.append(engine.state());
    }
    all.sort();
    assert_eq!(all, ["CompileError", "compiled true", "instantiated 42"]);
    assert!(times.load(Ordering::Relaxed) > 0);
}

fn no_jit_case() {
    let mut engine = boot(EngineOptions {
        jit: false,
        ..EngineOptions::default()
    });
    assert_eq!(said(&mut engine, "random", vec![]).len(), 1);
}
