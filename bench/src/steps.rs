//! Where the time of a cold start and of a warm request goes, step by step, in microseconds.
//!
//! Nothing inside the host or a guest is timed by a clock of its own, which would be in the way:
//! steps inside a guest are measured by driving a zygote by hand, those of the whole path as the
//! difference between two requests of which one takes the step and the other does not. Each figure
//! is the median of many.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use mayfly_sandbox::seccomp::Profile;
use mayfly_wire::{ToGuest, ToHost};

use crate::http::Connection;
use crate::memory;
use crate::peer::{Peer, Running};
use crate::stats::median;
use crate::zygote::{Guest, Host, start};

const HELLO: &str = "export default { fetch() { return new Response('hello'); } };";

/// Guests forked one by one, each started and asked.
const GUESTS: usize = 200;

/// Requests of each kind.
const REQUESTS: usize = 3000;

/// Loads of dynamic Workers; with a pause after each, so that the pool is full again.
const LOADS: usize = 300;
const PAUSE: Duration = Duration::from_millis(8);

/// RPC calls of one request.
const CALLS: usize = 5000;

/// Measures all and prints it.
pub fn print() -> Result<(), String> {
    let here = std::env::current_exe().map_err(|e| e.to_string())?;
    let guest = guest_steps(&here.with_file_name("mayfly-guest"));
    let path = path_steps()?;
    println!(
        "The zygote: {} KiB of heap and other memory of its own, {} KiB of page tables",
        guest.zygote_kib, guest.tables_kib
    );
    println!("A cold start (zygote driven by hand; {GUESTS} guests)");
    row(
        "fork, socket and pidfd handed over (ahead, in the pool)",
        guest.fork,
    );
    row(
        "then sealed and its pages its own (ahead, in the pool)",
        guest.warm,
    );
    row(
        "Start to Started: code compiled, linked, evaluated",
        guest.start,
    );
    row("first request to its answer", guest.first);
    row("Done to the end of the process, when killed", guest.end);
    println!(
        "    page faults: {} until warm, {} from Start to the first answer",
        guest.faults_warm, guest.faults_start
    );
    println!();
    println!("A warm request (whole path; {REQUESTS} requests on one connection)");
    row(
        "a byte to a thread of this program and back over TCP",
        path.echo,
    );
    row("hello: HTTP, host, one guest", path.hello);
    row(
        "  of it, without the TCP round trip",
        path.hello - path.echo,
    );
    row(
        "a further guest's request to its answer, without the host",
        guest.next,
    );
    row("get(): the same through a child", path.get);
    row(
        "  of it, the relay to the child and back",
        path.get - path.hello,
    );
    row("an RPC call, one after another", path.rpc);
    println!();
    println!("A cold load (whole path; {LOADS} loads, with pauses for the pool)");
    row("load() to the first byte of the answer", path.load);
    row("  of it, what a warm get() takes", path.get);
    row(
        "  of it, Start and the first run of code",
        path.load - path.get,
    );
    Ok(())
}

fn row(what: &str, us: f64) {
    println!("  {what:<64} {us:>9.1} us");
}

#[derive(Default)]
struct GuestSteps {
    fork: f64,
    warm: f64,
    start: f64,
    first: f64,
    next: f64,
    end: f64,
    faults_warm: u64,
    faults_start: u64,
    zygote_kib: u64,
    tables_kib: u64,
}

fn guest_steps(binary: &Path) -> GuestSteps {
    let mut host = Host::start_binary(binary, Profile::WORKER);
    let mut all: [Vec<f64>; 8] = Default::default();
    for _ in 0..GUESTS {
        let began = Instant::now();
        let mut guest = host.fork();
        all[0].push(us(began));
        // It waits in its loop once its CPU time stands still.
        all[1].push(until_warm(&guest));
        let faults = faults(&guest);
        all[5].push(faults as f64);
        let began = Instant::now();
        guest.send(&hello());
        while !matches!(guest.receive(), Some(ToHost::Started { .. })) {}
        all[2].push(us(began));
        let began = Instant::now();
        guest.fetch("http://x/");
        all[3].push(us(began));
        all[6].push((self::faults(&guest) - faults) as f64);
        for _ in 0..20 {
            let began = Instant::now();
            guest.fetch("http://x/");
            all[4].push(us(began));
        }
        let began = Instant::now();
        let _ = guest.pidfd.kill();
        host.exited(guest.pid);
        all[7].push(us(began));
    }
    let zygote = host.zygote_pid().0.unsigned_abs();
    let [
        fork,
        warm,
        start,
        first,
        next,
        faults_warm,
        faults_start,
        end,
    ] = all.map(median);
    GuestSteps {
        fork,
        warm,
        start,
        first,
        next,
        end,
        faults_warm: faults_warm as u64,
        faults_start: faults_start as u64,
        zygote_kib: memory::status_kib(zygote, "RssAnon:"),
        tables_kib: memory::status_kib(zygote, "VmPTE:"),
    }
}

/// A Worker with the flags of today's compatibility date that matter for a start: without them a start
/// takes globals away, which is work of its own.
fn hello() -> ToGuest {
    const FLAGS: [&str; 8] = [
        "rpc",
        "enable_ctx_exports",
        "set_tostring_tag",
        "global_navigator",
        "enable_navigator_language",
        "expose_global_message_channel",
        "http_headers_getsetcookie",
        "enable_weak_ref",
    ];
    let mut frame = start(HELLO);
    if let ToGuest::Start { start } = &mut frame {
        start.compatibility_flags = FLAGS.map(str::to_owned).to_vec();
    }
    frame
}

/// CPU time of a fresh fork until it has nothing more to do.
fn until_warm(guest: &Guest) -> f64 {
    let mut last = cpu_ns(guest);
    loop {
        std::thread::sleep(Duration::from_millis(4));
        let now = cpu_ns(guest);
        if now == last {
            return now as f64 / 1e3;
        }
        last = now;
    }
}

fn cpu_ns(guest: &Guest) -> u64 {
    let text = std::fs::read_to_string(guest.proc("schedstat")).unwrap_or_default();
    let first = text.split(' ').next().and_then(|word| word.parse().ok());
    first.unwrap_or(0)
}

/// Minor faults so far (`proc(5)`: field 10 of `stat`).
fn faults(guest: &Guest) -> u64 {
    let stat = std::fs::read_to_string(guest.proc("stat")).unwrap_or_default();
    let rest = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest)
        .unwrap_or_default();
    rest.split(' ')
        .nth(7)
        .and_then(|word| word.parse().ok())
        .unwrap_or(0)
}

struct PathSteps {
    echo: f64,
    hello: f64,
    get: f64,
    rpc: f64,
    load: f64,
}

fn path_steps() -> Result<PathSteps, String> {
    let system = Running::start(Peer::Mayfly, &[])?;
    let mut connection = Connection::open(system.port)?;
    let rpc = format!("/rpc?n={CALLS}");
    connection.get(&rpc)?;
    let calls: Result<Vec<f64>, String> = (0..5)
        .map(|_| {
            connection
                .get(&rpc)
                .map(|(_, took)| took.as_secs_f64() * 1e6 / CALLS as f64)
        })
        .collect();
    Ok(PathSteps {
        echo: echo()?,
        hello: requests(&mut connection, "/hello", REQUESTS, Duration::ZERO)?,
        get: requests(&mut connection, "/get?n=1", REQUESTS, Duration::ZERO)?,
        rpc: median(calls?),
        load: requests(&mut connection, "/load", LOADS, PAUSE)?,
    })
}

fn requests(
    connection: &mut Connection,
    path: &str,
    count: usize,
    pause: Duration,
) -> Result<f64, String> {
    for _ in 0..count.min(200) {
        connection.get(path)?;
    }
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        times.push(connection.get(path)?.1.as_secs_f64() * 1e6);
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
    Ok(median(times))
}

/// What two processes cannot do without: a message each way.
fn echo() -> Result<f64, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let server = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut byte = [0; 1];
        while stream.read(&mut byte)? == 1 {
            stream.write_all(&byte)?;
        }
        Ok(())
    });
    let ping = || -> std::io::Result<Vec<f64>> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut byte = [0; 1];
        let mut times = Vec::new();
        for _ in 0..REQUESTS {
            let began = Instant::now();
            stream.write_all(&byte)?;
            stream.read_exact(&mut byte)?;
            times.push(us(began));
        }
        Ok(times)
    };
    let times = ping().map_err(|e| e.to_string())?;
    // It ended with the stream above.
    let _ = server.join();
    Ok(median(times))
}

fn us(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e6
}
