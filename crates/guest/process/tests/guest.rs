//! The guest binary from outside: a test that plays the host.
//!
//! Every test starts a zygote of its own through the sandbox crate, as the supervisor does, forks
//! guests from it and talks frames with them. Nothing here reaches into the binary: what cannot be
//! seen on a socket or in `/proc` is not tested here.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod host;

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use host::{Guest, Host, text};
use mayfly_sandbox::process_stat::CpuClock;
use mayfly_sandbox::seccomp::{Jit, Profile, RULES};
use mayfly_wire::control::{End, ToZygote};
use mayfly_wire::*;

const ECHO: &str =
    "export default { fetch(request) { return new Response('hello ' + request.url); } };";
const RANDOM: &str =
    "export default { fetch() { return new Response(String([Math.random(), Math.random()])); } };";
const LOOP: &str = "export default { fetch() { for (;;); } };";

#[test]
fn a_zygote_is_ready_with_one_thread_and_says_its_layers() {
    let host = Host::start();
    assert_eq!(host.ready.threads, 1);
    assert_eq!(host.ready.version, VERSION);
    for layer in &host.ready.layers {
        println!("{layer:?}");
        assert!(layer.active || !layer.reason.is_empty(), "{layer:?}");
    }
    let seccomp = host
        .ready
        .layers
        .iter()
        .find(|layer| layer.name == "seccomp");
    assert!(seccomp.is_some_and(|layer| layer.active));
}

#[test]
fn a_worker_answers_a_request_sent_right_behind_its_start() {
    let mut host = Host::start();
    let mut guest = host.fork();
    guest.send(&host::start(ECHO));
    guest.send(&host::fetch(1, "http://x/a"));
    let mut seen = Vec::new();
    let body = loop {
        match guest.receive() {
            Some(ToHost::Return {
                call: CallId(1),
                outcome: Outcome::Response { head, body },
            }) => {
                assert_eq!(head.status, 200);
                break text(&body);
            }
            Some(other) => seen.push(other),
            None => panic!("the guest ended: {seen:?}"),
        }
    };
    assert_eq!(body, "hello http://x/a");
    assert!(
        matches!(seen.as_slice(), [ToHost::Started { .. }]),
        "{seen:?}"
    );
    assert_eq!(guest.receive(), Some(ToHost::Done { call: CallId(1) }));
}

#[test]
fn a_guest_ends_when_its_socket_does() {
    let mut host = Host::start();
    for started in [false, true] {
        let mut guest = host.fork();
        if started {
            guest.send(&host::start(ECHO));
            assert!(matches!(guest.receive(), Some(ToHost::Started { .. })));
        }
        let pid = guest.pid;
        drop(guest.socket);
        assert_eq!(host.exited(pid), End::Exit { code: 0 });
    }
}

#[test]
fn a_killed_guest_is_reported_and_its_siblings_live() {
    let mut host = Host::start();
    let mut sibling = host.started(ECHO);
    let mut guest = host.started(LOOP);
    guest.send(&host::fetch(1, "http://x/"));
    let clock = CpuClock::of(guest.pidfd.pid().unwrap().unwrap()).unwrap();
    while clock.read().unwrap() < Duration::from_millis(50) {
        std::thread::sleep(Duration::from_millis(5));
    }
    guest.pidfd.kill().unwrap();
    assert_eq!(host.exited(guest.pid), End::Signal { signal: 9 });
    assert_eq!(guest.receive(), None);
    assert_eq!(sibling.fetch("http://x/b"), "hello http://x/b");
}

#[test]
fn two_guests_draw_different_random_numbers() {
    let mut host = Host::start();
    let drawn: BTreeSet<String> = (0..8)
        .map(|_| host.started(RANDOM).fetch("http://x/"))
        .collect();
    assert_eq!(drawn.len(), 8);
}

#[test]
fn a_guest_holds_its_socket_its_waker_and_nothing_else() {
    let mut host = Host::start();
    let mut siblings = vec![host.fork(), host.fork()];
    let mut guest = host.started(ECHO);
    siblings.push(host.fork());
    guest.fetch("http://x/");
    let found: Vec<String> = fs::read_dir(guest.proc("fd"))
        .unwrap()
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap())
        .map(|target| target.display().to_string())
        .collect();
    let count = |name: &str| {
        found
            .iter()
            .filter(|target| target.starts_with(name))
            .count()
    };
    assert_eq!(count("/dev/null"), 3, "{found:?}");
    assert_eq!(count("socket:"), 1, "{found:?}");
    assert_eq!(count("anon_inode:[eventfd]"), 1, "{found:?}");
    assert_eq!(found.len(), 5, "{found:?}");
}

/// Takes from the mailbox until `count` frames have come.
fn from_mailbox(guest: &Guest, count: usize) -> Vec<ToHost> {
    let until = Instant::now() + Duration::from_secs(60);
    let (mut bytes, mut frames) = (Vec::new(), Vec::new());
    while frames.len() < count {
        assert!(Instant::now() < until, "silent after {frames:?}");
        guest.mailbox.take(&mut bytes);
        while let Some((prefix, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>()
            && let Some(body) = rest.get(..frame_length(*prefix).unwrap())
        {
            frames.push(read_frame(body).unwrap());
            bytes.drain(..LENGTH_BYTES + body.len());
        }
    }
    frames
}

/// A guest that had no core for a while goes to sleep after all, until something comes through its socket.
fn put_in_mailbox(guest: &mut Guest, frame: &ToGuest) {
    let mut bytes = Vec::new();
    write_frame(frame, &mut bytes);
    let until = Instant::now() + Duration::from_secs(60);
    let mut woken = Instant::now();
    while !guest.mailbox.put(&bytes, guest.sent) {
        assert!(Instant::now() < until, "it does not listen");
        if woken.elapsed() > Duration::from_millis(20) {
            guest.send(&AWAKE);
            woken = Instant::now();
        }
        std::thread::yield_now();
    }
}

const AWAKE: ToGuest = ToGuest::StayAwake { us: 10_000_000 };

#[test]
fn a_guest_that_stays_awake_has_its_calls_in_its_mailbox() {
    let mut host = Host::start();
    let mut guest = host.started(ECHO);
    let mut asleep = Vec::new();
    write_frame(&host::fetch(1, "http://x/asleep"), &mut asleep);
    assert!(!guest.mailbox.put(&asleep, guest.sent));
    guest.send(&AWAKE);
    for call in 1..100 {
        let url = format!("http://x/{call}");
        guest.mailbox.listen(guest.heard);
        put_in_mailbox(&mut guest, &host::fetch(call, &url));
        let frames = from_mailbox(&guest, 2);
        guest.mailbox.stop_listening();
        let [ToHost::Return { outcome, .. }, ToHost::Done { call: done }] = &frames[..] else {
            panic!("{frames:?}");
        };
        let Outcome::Response { body, .. } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(text(body), format!("hello {url}"));
        assert_eq!(*done, CallId(call));
        // What goes through the socket meanwhile is as welcome.
        assert_eq!(guest.fetch("http://x/socket"), "hello http://x/socket");
    }
    guest.send(&ToGuest::StayAwake { us: 0 });
    guest.fetch("http://x/");
    assert!(!guest.mailbox.put(&asleep, guest.sent));
}

#[test]
fn a_guest_is_sealed_alone_and_nobody() {
    let mut host = Host::start();
    let mut guest = host.started(ECHO);
    guest.fetch("http://x/");
    let status = fs::read_to_string(guest.proc("status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default()
            .trim_start_matches(':')
            .trim()
            .to_owned()
    };
    assert_eq!(field("Threads"), "1");
    assert_eq!(field("Seccomp"), "2");
    assert_eq!(field("NoNewPrivs"), "1");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        // The bounding set can only be emptied where the right to do so was there.
        assert!(set == "CapBnd" || field(set) == "0000000000000000", "{set}");
    }
    let active = |name: &str| {
        host.ready
            .layers
            .iter()
            .any(|layer| layer.name == name && layer.active)
    };
    if active("empty root") {
        assert_eq!(fs::read_dir(guest.proc("root")).unwrap().count(), 0);
    }
    for (layer, file) in [
        ("user namespace", "user"),
        ("pid namespace", "pid"),
        ("network namespace", "net"),
        ("mount namespace", "mnt"),
        ("ipc namespace", "ipc"),
        ("uts namespace", "uts"),
        ("cgroup namespace", "cgroup"),
    ] {
        if active(layer) {
            let theirs = fs::read_link(guest.proc(&format!("ns/{file}"))).unwrap();
            let ours = fs::read_link(format!("/proc/self/ns/{file}")).unwrap();
            assert_ne!(theirs, ours, "{layer}");
        }
    }
}

#[test]
fn guests_outlive_their_zygote_and_the_rest_ends_with_them() {
    let mut host = Host::start();
    let mut guest = host.started(ECHO);
    let zygote = host.zygote_pid();
    mayfly_sandbox::pidfd::Pidfd::open(zygote)
        .unwrap()
        .kill()
        .unwrap();
    host.wait_for_end_of_control();
    assert_eq!(guest.fetch("http://x/"), "hello http://x/");
    assert!(host.launcher.try_wait().unwrap().is_none());
    drop(guest);
    host.launcher_ends();
}

#[test]
fn the_end_of_the_control_socket_ends_everything() {
    let mut host = Host::start();
    let mut guest = host.started(LOOP);
    guest.send(&host::fetch(1, "http://x/"));
    host.close_control();
    assert_eq!(guest.receive(), None);
    host.launcher_ends();
}

#[test]
fn the_end_of_the_launcher_ends_everything() {
    let mut host = Host::start();
    let mut guest = host.started(LOOP);
    guest.send(&host::fetch(1, "http://x/"));
    host.launcher.kill().unwrap();
    assert_eq!(guest.receive(), None);
    host.wait_for_end_of_control();
}

#[test]
fn a_retired_zygote_forks_no_more_and_ends_with_its_last_guest() {
    let mut host = Host::start();
    let mut guest = host.started(ECHO);
    host.ask(&ToZygote::Retire {});
    host.ask(&ToZygote::Fork { count: 1 });
    assert!(host.fork_failed().contains("retired"));
    assert_eq!(guest.fetch("http://x/"), "hello http://x/");
    let pid = guest.pid;
    drop(guest);
    assert_eq!(host.exited(pid), End::Exit { code: 0 });
    host.launcher_ends();
}

#[test]
fn many_guests_are_forked_at_once() {
    let mut host = Host::start();
    let mut guests = host.fork_many(40);
    for guest in &mut guests {
        guest.send(&host::start(ECHO));
    }
    for guest in &mut guests {
        assert_eq!(guest.fetch("http://x/"), "hello http://x/");
    }
    let pids: BTreeSet<u32> = guests.iter().map(|guest| guest.pid).collect();
    assert_eq!(pids.len(), 40);
}

#[test]
fn a_frame_out_of_place_ends_the_guest() {
    let mut host = Host::start();
    // Before Start.
    let mut guest = host.fork();
    guest.send(&host::fetch(1, "http://x/"));
    assert_eq!(host.exited(guest.pid), End::Exit { code: 66 });
    // A second Start.
    let mut guest = host.started(ECHO);
    guest.send(&host::start(ECHO));
    assert_eq!(host.exited(guest.pid), End::Exit { code: 66 });
    // Not a frame.
    let mut guest = host.fork();
    guest.send_bytes(&[1, 0, 0, 0, 255]);
    assert_eq!(host.exited(guest.pid), End::Exit { code: 66 });
}

#[test]
fn a_worker_that_does_not_start_says_why() {
    let mut host = Host::start();
    let mut guest = host.fork();
    guest.send(&host::start("export default {"));
    let Some(ToHost::StartFailed { failure }) = guest.receive() else {
        panic!("no StartFailed");
    };
    assert_eq!(failure.name, "SyntaxError");
}

#[test]
fn a_worker_out_of_memory_ends_with_its_code() {
    let mut host = Host::start();
    for (eater, heap_bytes_max) in [
        // At its limit the engine collects all the time, the longer the larger the heap: a small one.
        (
            "let all = []; for (;;) all.push({ a: [1, 2, 3] });",
            16 << 20,
        ),
        (
            "let all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1));",
            host::HEAP_BYTES_MAX,
        ),
    ] {
        let code = format!("export default {{ fetch() {{ {eater} }} }};");
        let mut guest = host.fork();
        guest.send(&host::start_with(&code, vec![], heap_bytes_max));
        guest.send(&host::fetch(1, "http://x/"));
        assert_eq!(host.exited(guest.pid), End::Exit { code: 70 }, "{eater}");
    }
}

/// `load(address)` and `grow(pages)` on one page of memory.
const WASM: &[u8] = &[
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, // Magic, version.
    1, 6, 1, 0x60, 1, 0x7f, 1, 0x7f, // One type: i32 to i32.
    3, 3, 2, 0, 0, // Two functions of it.
    5, 3, 1, 0, 1, // One page.
    7, 15, 2, 4, b'l', b'o', b'a', b'd', 0, 0, 4, b'g', b'r', b'o', b'w', 0, 1, // Exports.
    10, 16, 2, 7, 0, 0x20, 0, 0x28, 2, 0, 0x0b, 6, 0, 0x20, 0, 0x40, 0, 0x0b, // Bodies.
];

/// Each of these leans on the kernel in a way of its own.
const ORDINARY: &str = r#"
import module from "./memory.wasm";
const fib = (n) => n < 2 ? n : fib(n - 1) + fib(n - 2);
const steps = {
  jit: () => fib(27),
  garbage() {
    for (let i = 0; i < 100; i++) {
      const all = [];
      for (let j = 0; j < 10000; j++) all.push({ x: j });
    }
    return "ok";
  },
  wasm() {
    const { load, grow } = new WebAssembly.Instance(module).exports;
    const pages = [load(0), grow(100), load(6400000)];
    try { load(-8); } catch (error) { return [...pages, error.name]; }
  },
  stack() {
    const deep = () => deep() + 1;
    try { deep(); } catch (error) { return error.name; }
  },
  buffers() {
    let total = 0;
    const buffer = new ArrayBuffer(1, { maxByteLength: 1 << 24 });
    for (let i = 1; i < 24; i++) { buffer.resize(1 << i); total += new Uint8Array(1 << i).length; }
    let text = "x";
    while (text.length < 1 << 22) text += text;
    return [total, text.replaceAll("x", "yy").length];
  },
  time: () => [new Date(0).toString(), new Date(0).toLocaleString("de-DE"), typeof Date.now()],
  words: () => ["äb".normalize("NFD").length, "ab".localeCompare("b"), /(?<a>\p{L}+)/u.exec("1ab").groups.a],
  numbers: () => [(1234.5).toLocaleString("en-US"), (2n ** 200n).toString().length],
  chance: () => [Math.random() < 1, crypto.getRandomValues(new Uint8Array(4)).length, crypto.randomUUID().length],
  async timers() {
    const before = performance.now();
    await new Promise((done) => setTimeout(done, 20));
    return performance.now() - before >= 19;
  },
  async later() {
    const registry = new FinalizationRegistry(() => {});
    registry.register({}, 1);
    return await Promise.all([1, 2].map(async (n) => n * 2));
  },
};
export default {
  async fetch() {
    const said = {};
    for (const [name, step] of Object.entries(steps)) said[name] = await step();
    return new Response(JSON.stringify(said));
  },
};
"#;

const ORDINARY_SAYS: &str = concat!(
    r#"{"jit":196418,"garbage":"ok","wasm":[0,1,0,"RuntimeError"],"stack":"RangeError","#,
    r#""buffers":[16777214,8388608],"#,
    r#""time":["Thu Jan 01 1970 00:00:00 GMT+0000 (Coordinated Universal Time)","1.1.1970, 00:00:00","number"],"#,
    r#""words":[3,-1,"ab"],"numbers":["1,234.5",61],"chance":[true,4,36],"timers":true,"later":[2,4]}"#
);

#[test]
fn ordinary_code_never_meets_the_sandbox() {
    let mut host = Host::start();
    let mut guest = host.fork();
    let wasm = Module {
        name: "memory.wasm".to_owned(),
        kind: ModuleKind::Wasm {},
        content: Blob(WASM.to_vec()),
    };
    guest.send(&host::start_with(
        ORDINARY,
        vec![wasm],
        host::HEAP_BYTES_MAX,
    ));
    assert_eq!(guest.fetch("http://x/"), ORDINARY_SAYS);
}

/// Leans on the kernel where [`ORDINARY`] does not: helper threads, large blocks that grow.
const DEMANDING: &str = r#"
const bytes = new Uint8Array(WASM);
export default {
  async fetch(request) {
    if (request.url.endsWith("/again")) return new Response("again");
    // More compiled code than a zygote left room for.
    for (const f of many) for (let n = 0; n < 400; n++) f(n, 20);
    // A compilation on helper threads.
    await Promise.all([1, 2, 3].map(() => WebAssembly.compile(bytes)));
    // A block that the host's side of an op asks huge pages for.
    let total = new TextDecoder().decode(new Uint8Array(16 << 20).fill(97)).length;
    for (let round = 0; round < 3; round++) {
      const all = [];
      for (let i = 0; i < 200000; i++) all.push(i + 0.5);
      all.sort();
      total += all.length + new Uint8Array(8 << 20).fill(1).length;
      total += ("x".repeat(1 << 20) + round).replaceAll("x", "yz").length;
    }
    return new Response(String(total));
  },
};
"#;

/// Stops and continues it: a wait that was under way is taken up again. One that has died for want of
/// a row hears nothing, and its end is what is looked at next.
fn interrupt(guest: &Guest) {
    let _ = guest.pidfd.send_signal(libc_signal::STOP);
    std::thread::sleep(Duration::from_millis(5));
    let _ = guest.pidfd.send_signal(libc_signal::CONT);
}

mod libc_signal {
    pub const CONT: i32 = 18;
    pub const STOP: i32 = 19;
    pub const SYS: i32 = 31;
}

/// How a guest without one row of the filter fared: `Err` names the call it died of.
fn live_without(row: Option<usize>) -> Result<(), String> {
    let mut host = Host::start_as(Profile {
        jit: Jit::On,
        without: row,
    });
    let died = |host: &mut Host, guest: &Guest, at: &str| match host.exited(guest.pid) {
        End::Signal {
            signal: libc_signal::SYS,
        } => Err(at.to_owned()),
        end => Err(format!("{at}: {end:?}")),
    };
    let wasm = Module {
        name: "memory.wasm".to_owned(),
        kind: ModuleKind::Wasm {},
        content: Blob(WASM.to_vec()),
    };
    let many: String = (0..400)
        .map(|n| {
            format!(
                "(a, b) => {{ let s = a; for (let k = 0; k < b; k++) {{ s = (s * 31 + k * {n}) | 0; \
                 if (s < 0) s = -s; }} return s; }},\n"
            )
        })
        .collect();
    let demanding = DEMANDING.replace("WASM", &format!("{WASM:?}"));
    let demanding = format!("const many = [{many}];\n{demanding}");
    for (name, code, modules) in [
        ("ordinary", ORDINARY.to_owned(), vec![wasm]),
        ("demanding", demanding, vec![]),
    ] {
        let mut guest = host.fork();
        if !guest.try_send(&host::start_with(&code, modules, host::HEAP_BYTES_MAX)) {
            return died(&mut host, &guest, "before it started");
        }
        interrupt(&guest);
        if guest.try_fetch("http://x/").is_none() {
            return died(&mut host, &guest, name);
        }
        // What it no longer needs it gives back, on a helper thread.
        if !guest.try_send(&ToGuest::Collect {}) || guest.try_fetch("http://x/again").is_none() {
            return died(&mut host, &guest, "collecting garbage");
        }
        // The end of its socket is an ordinary end.
        let pid = guest.pid;
        drop(guest);
        match host.exited(pid) {
            End::Exit { code: 0 } => {}
            end => return Err(format!("{name}, at its end: {end:?}")),
        }
    }
    Ok(())
}

/// Rows whose users are no Worker's work; tests of the filter itself show them
/// (`an_abort_is_a_crash_and_no_violation`, `a_clock_that_the_vdso_does_not_know_is_the_kernels`).
const SHOWN_ELSEWHERE: &[&str] = &[
    "SYS_clock_gettime",
    "SYS_tgkill",
    "SYS_getpid",
    "SYS_rt_sigaction",
];

#[test]
fn every_row_of_the_filter_has_a_user() {
    live_without(None).unwrap();
    let mut unused = Vec::new();
    for (row, rule) in RULES.iter().enumerate() {
        match live_without(Some(row)) {
            Err(at) => println!("{}: {} ({at})", rule.name, rule.user),
            Ok(()) => unused.push(rule.name),
        }
    }
    println!("unused here: {unused:?}");
    unused.retain(|name| !SHOWN_ELSEWHERE.contains(name));
    assert!(unused.is_empty(), "rows that nothing uses: {unused:?}");
}

#[test]
fn a_guest_without_a_jit_has_no_executable_memory_but_the_program() {
    let executable = |jit: Jit| {
        let mut host = Host::start_as(Profile { jit, without: None });
        let code = "const fib = (n) => n < 2 ? n : fib(n - 1) + fib(n - 2); \
                    export default { fetch() { return new Response(String(fib(22))); } };";
        let mut guest = host.started(code);
        assert_eq!(guest.fetch("http://x/"), "17711");
        let maps = fs::read_to_string(guest.proc("maps")).unwrap();
        let mut bytes = 0;
        for line in maps.lines() {
            let (range, rest) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
            assert!(!rest.starts_with("rwx"), "{line}");
            if rest.as_bytes()[2] == b'x' {
                bytes += number(end) - number(start);
            }
        }
        bytes
    };
    let (with, without) = (executable(Jit::On), executable(Jit::Off));
    // The program's own code, its libraries' and the kernel's pages: what the binary file holds.
    let program = fs::metadata(env!("CARGO_BIN_EXE_mayfly-guest"))
        .unwrap()
        .len();
    println!("executable: {with} bytes with a JIT, {without} without; the binary has {program}");
    assert!(without < with, "{without} of {with}");
    assert!(
        without < program + (16 << 20),
        "{without}, the binary has {program}"
    );
}

#[test]
fn by_hand_it_says_one_line_and_its_version() {
    let binary = env!("CARGO_BIN_EXE_mayfly-guest");
    let run = |words: &[&str]| {
        std::process::Command::new(binary)
            .args(words)
            .output()
            .unwrap()
    };
    assert_eq!(
        run(&["--version"]).stdout,
        format!("{VERSION}\n").into_bytes()
    );
    for words in [&[][..], &["zygote"], &["serve"], &["zygote", "now"]] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1);
    }
}

/// A compile-time reminder that the helper's guest is what these tests talk to.
const _: fn(&mut Guest, &str) -> String = Guest::fetch;

const NAME: &str = "main.js";

/// What a guest makes of a module.
fn compiled(host: &mut Host, source: &str) -> Vec<u8> {
    let mut guest = host.fork();
    guest.send(&ToGuest::Compile {
        name: NAME.to_owned(),
        source: Blob(source.as_bytes().to_vec()),
    });
    let Some(ToHost::Compiled { bytes }) = guest.receive() else {
        panic!("nothing was compiled");
    };
    assert_eq!(guest.receive(), None, "it says one thing");
    assert_eq!(host.exited(guest.pid), End::Exit { code: 0 });
    bytes.0
}

fn start_compiled(source: &str, bytes: Vec<u8>) -> ToGuest {
    let mut frame = host::start(source);
    if let ToGuest::Start { start } = &mut frame {
        start.compiled = vec![(0, Blob(bytes)), (7, Blob(vec![1]))];
    }
    frame
}

/// That the bytes are used shows where they are of other code than the source, which no host sends.
#[test]
fn a_guest_takes_what_another_compiled_and_parses_where_it_cannot() {
    let mut host = Host::start();
    let [one, two] = ["1", "2"]
        .map(|n| format!("export default {{ fetch() {{ return new Response('{n}'); }} }};"));
    let bytes = compiled(&mut host, &one);
    let mut broken = bytes.clone();
    let middle = broken.len() / 2;
    broken[middle] ^= 1;
    for (what, source, bytes, answer) in [
        ("its own", &one, bytes.clone(), "1"),
        ("another's", &two, bytes.clone(), "1"),
        ("broken", &two, broken, "2"),
        ("cut", &two, bytes[..middle].to_vec(), "2"),
        ("none", &two, vec![], "2"),
        ("of a longer source", &format!("{two}\n"), bytes, "2"),
    ] {
        let mut guest = host.fork();
        guest.send(&start_compiled(source, bytes));
        assert!(
            matches!(guest.receive(), Some(ToHost::Started { .. })),
            "{what}"
        );
        assert_eq!(guest.fetch("http://x/"), answer, "{what}");
    }
    assert!(compiled(&mut host, "export default {{").is_empty());
}

#[test]
fn a_guest_compiles_or_runs_and_never_both() {
    let mut host = Host::start();
    let mut guest = host.started(ECHO);
    guest.send(&ToGuest::Compile {
        name: NAME.to_owned(),
        source: Blob(ECHO.as_bytes().to_vec()),
    });
    assert!(matches!(host.exited(guest.pid), End::Exit { code } if code != 0));
}
