//! Frames of made-up guests in any order: the hub never panics, hoards nothing, and a guest that
//! says nothing wrong lives on.
//!
//! The bytes choose, step by step, which of the hostile guests speaks and what it says: well-formed
//! frames over small numbers, so that they often name something that exists, cut into pieces as a
//! socket may; sometimes a frame's bytes are bent. Workers `a` and `b` are hostile and hold each
//! other, the honest Worker `c` and a loader; dynamic Workers that they load are hostile as well.
//! `c` answers everything that it is asked.
//!
//! What must hold at the end of each run: `c` answers a call from outside; every call from outside
//! has an outcome; the bytes written to a guest are in proportion to what was said; and once the
//! supervisor is gone, so is everything it held.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly_exchange::{Body, BoxFuture, Failure, Request, Response, Service};
use mayfly_supervisor::guest::Guest;
use mayfly_supervisor::hub::Hub;
use mayfly_supervisor::inbox::{Cut, Inbox};
use mayfly_supervisor::pool::Nursery;
use mayfly_supervisor::process::Process;
use mayfly_supervisor::turn::Turn;
use mayfly_supervisor::{
    BindingDefinition, Caps, EndReason, Options, OutboundDefinition, Policy, ServiceTarget,
    Supervisor, WorkerDefinition, relay,
};
use mayfly_wire::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, yield_now};

/// Steps of one run: enough to fill tables and empty them again.
const STEPS_MAX: usize = 300;

/// Guests at once, so that a loader in a loop meets the bound.
const GUESTS_MAX: usize = 6;

/// What one run may make the host write, beyond a multiple of what it was told. `Start` frames are
/// the largest part; one call may repeat the props of its stub.
const WRITTEN_BYTES_FIXED: usize = 256 * 1024;
const WRITTEN_PER_TOLD: usize = 64;

/// Turns of the runtime in which chores, births and answers settle.
const TURNS: usize = 4;

#[derive(Debug)]
struct NoProcess;

impl Process for NoProcess {
    fn kill(&self) {}
    fn cpu(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
    fn memory_bytes(&self) -> Option<u64> {
        Some(0)
    }
    fn pid(&self) -> i32 {
        1
    }
}

/// Only counts: guests are born between two steps, when no lock is held.
struct Births(Arc<AtomicUsize>);

impl Nursery for Births {
    fn fork(&self, count: usize) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }
}

struct NoNetwork;

impl Service for NoNetwork {
    fn fetch(&self, _: Request) -> BoxFuture<Result<Response, Failure>> {
        Box::pin(async { Err(failure()) })
    }
}

fn failure() -> Failure {
    Failure::new(FailureKind::Network {}, "Error", "no")
}

// ---- the world

struct Player {
    guest: Arc<Guest>,
    name: String,
    said: Inbox,
    heard: Inbox,
}

struct World {
    supervisor: Supervisor,
    births: Arc<AtomicUsize>,
    players: Vec<Player>,
    written: usize,
    told: usize,
}

impl World {
    fn new() -> Self {
        let births = Arc::new(AtomicUsize::new(0));
        let mut options = Options::new("/nonexistent".into());
        options.pool_min = 0;
        options.pool_max = 0;
        options.guests_max = GUESTS_MAX;
        let supervisor = Supervisor::with_nursery(options, Box::new(Births(births.clone())));
        let hostile = |name, other| {
            let bindings = vec![
                ("OTHER".to_owned(), service(other)),
                ("HONEST".to_owned(), service("c")),
                (
                    "LOADER".to_owned(),
                    BindingDefinition::Loader {
                        shared: None,
                        policy: Policy::default(),
                    },
                ),
            ];
            worker(name, bindings)
        };
        supervisor
            .deploy(
                vec![hostile("a", "b"), hostile("b", "a"), worker("c", vec![])],
                Arc::new(NoNetwork),
            )
            .expect("the definitions fit each other");
        Self {
            supervisor,
            births,
            players: Vec::new(),
            written: 0,
            told: 0,
        }
    }

    fn fetch(&self, worker: &str) -> JoinHandle<Result<Response, Failure>> {
        let service = self
            .supervisor
            .service(worker, "")
            .expect("it was deployed");
        let request = Request {
            head: head(),
            body: Body::Empty,
        };
        tokio::spawn(service.fetch(request))
    }

    /// Chores run, guests are born, the honest one answers.
    async fn settle(&mut self) {
        for _ in 0..TURNS {
            yield_now().await;
            self.bear();
            self.listen();
        }
    }

    fn bear(&mut self) {
        for _ in 0..self.births.swap(0, Ordering::Relaxed) {
            let guest = self.supervisor.hub().adopt_detached(Arc::new(NoProcess));
            self.players.push(Player {
                guest,
                name: String::new(),
                said: Inbox::default(),
                heard: Inbox::default(),
            });
        }
    }

    fn listen(&mut self) {
        for index in 0..self.players.len() {
            let player = &mut self.players[index];
            let bytes = player.guest.take_output();
            self.written += bytes.len();
            let mut answers = Vec::new();
            let honest = player.name == "c";
            let name = &mut player.name;
            let heard = player.heard.feed(&bytes, |cut| {
                let Cut::Frame(body) = cut else {
                    return Ok(());
                };
                match read_frame::<ToGuest>(body)? {
                    ToGuest::Start { start } => *name = start.name,
                    frame if honest => answer(&frame, &mut answers),
                    _ => {}
                }
                Ok(())
            });
            heard.expect("the host writes frames that decode");
            let guest = player.guest.clone();
            for frame in answers {
                let mut turn = Turn::new();
                relay::apply(&guest, frame, &mut turn).expect("an honest frame is no violation");
            }
        }
        let ended = |player: &Player| player.guest.end_reason().is_some();
        self.players
            .retain(|player| !ended(player) || player.name == "c");
    }

    fn hostile(&self) -> Vec<usize> {
        let players = self.players.iter().enumerate();
        players
            .filter(|(_, player)| !player.name.is_empty() && player.name != "c")
            .map(|(index, _)| index)
            .collect()
    }

    /// A hostile guest says `bytes`, which may be no frame at all.
    fn say(&mut self, index: usize, bytes: &[u8], piece: usize) {
        self.told += bytes.len();
        let player = &mut self.players[index];
        let guest = player.guest.clone();
        let mut turn = Turn::new();
        for piece in bytes.chunks(piece.max(1)) {
            let said = player.said.feed(piece, |cut| {
                let (frame, _) = cut.decode()?;
                relay::apply(&guest, frame, &mut turn)
            });
            if let Err(violation) = said {
                guest.end(&mut turn, EndReason::Violation(violation));
                return;
            }
        }
    }
}

fn service(worker: &str) -> BindingDefinition {
    BindingDefinition::Service(target(worker))
}

fn target(worker: &str) -> ServiceTarget {
    ServiceTarget {
        worker: worker.to_owned(),
        entrypoint: String::new(),
        props: Vec::new(),
    }
}

fn worker(name: &str, bindings: Vec<(String, BindingDefinition)>) -> WorkerDefinition {
    let heard = if name == "a" {
        vec![target("c")]
    } else {
        vec![]
    };
    WorkerDefinition {
        name: name.to_owned(),
        modules: vec![module()],
        main_module: "main.js".to_owned(),
        compatibility_flags: Vec::new(),
        bindings,
        outbound: OutboundDefinition::Network,
        limits: Limits::NONE,
        caps: Caps::default(),
        // What `a` does is traced, so that its frames about traces mean something.
        tails: heard.clone(),
        streaming_tails: heard,
        actors: Vec::new(),
    }
}

fn module() -> Module {
    Module {
        name: "main.js".to_owned(),
        kind: ModuleKind::Js {},
        content: Blob(Vec::new()),
    }
}

fn head() -> RequestHead {
    RequestHead {
        method: "GET".to_owned(),
        url: "http://x/".to_owned(),
        headers: Vec::new(),
        redirect: Redirect::Manual {},
        cf: String::new(),
        encoded: false,
    }
}

fn response(body: mayfly_wire::Body) -> Outcome {
    let head = ResponseHead {
        status: 200,
        status_text: String::new(),
        headers: Vec::new(),
        url: String::new(),
        redirected: false,
        encoded: false,
    };
    Outcome::Response {
        head: Box::new(head),
        body,
    }
}

/// What the honest guest says to a frame: an outcome to every call, and credit to every chunk.
fn answer(frame: &ToGuest, answers: &mut Vec<ToHost>) {
    let (call, event) = match frame {
        ToGuest::Invoke { call, event, .. }
        | ToGuest::CallExport { call, event, .. }
        | ToGuest::CallAnswer { call, event, .. } => (*call, event),
        _ => return,
    };
    let outcome = match event {
        Event::Fetch { .. } => response(mayfly_wire::Body::Empty {}),
        Event::Rpc { .. } => Outcome::Value {
            payload: Payload {
                bytes: Blob(vec![1]),
                attachments: vec![Attachment::Export {
                    export: ExportId(1),
                }],
            },
        },
        _ => Outcome::Failed { failure: failure() },
    };
    answers.push(ToHost::Return { call, outcome });
    answers.push(ToHost::Done { call });
}

// ---- what the bytes say

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn below(&mut self, limit: u8) -> u32 {
        u32::from(self.next() % limit)
    }

    fn cap(&mut self) -> CapId {
        CapId(self.below(20))
    }

    fn new_cap(&mut self) -> CapId {
        CapId(self.below(32) * 2 + 1)
    }

    fn stream(&mut self) -> StreamId {
        StreamId(self.below(24))
    }

    fn new_stream(&mut self) -> StreamId {
        StreamId(self.below(32) * 2 + 1)
    }

    fn call(&mut self) -> CallId {
        CallId(self.below(10))
    }

    fn text(&mut self) -> String {
        "x".repeat(self.below(4) as usize)
    }

    fn blob(&mut self) -> Blob {
        let scale = [1, 1, 1, 64, 512][self.below(5) as usize];
        Blob(vec![7; self.below(129) as usize * scale])
    }

    fn payload(&mut self) -> Payload {
        let attachments = (0..self.below(4)).map(|_| self.attachment()).collect();
        Payload {
            bytes: Blob(vec![3; self.below(32) as usize]),
            attachments,
        }
    }

    fn attachment(&mut self) -> Attachment {
        match self.below(6) {
            5 => Attachment::Bytes {
                bytes: Default::default(),
            },
            0 => Attachment::Cap {
                cap: self.cap(),
                kind: CapKind::Object {},
            },
            1 => Attachment::Export {
                export: ExportId(self.below(6)),
            },
            2 => Attachment::Readable {
                stream: self.new_stream(),
            },
            3 => Attachment::Writable {
                stream: self.new_stream(),
            },
            _ => Attachment::Socket {
                socket: self.socket(),
            },
        }
    }

    fn socket(&mut self) -> mayfly_wire::Socket {
        mayfly_wire::Socket {
            readable: self.new_stream(),
            writable: self.new_stream(),
        }
    }

    fn body(&mut self) -> mayfly_wire::Body {
        match self.below(4) {
            0 => mayfly_wire::Body::Empty {},
            1 => mayfly_wire::Body::Inline { bytes: self.blob() },
            2 => mayfly_wire::Body::Socket {
                socket: self.socket(),
            },
            _ => mayfly_wire::Body::Stream {
                stream: self.new_stream(),
                length: None,
            },
        }
    }

    fn event(&mut self) -> Event {
        match self.below(9) {
            8 => Event::Connect {
                authority: self.text(),
                secure: Secure::Later {},
                socket: self.socket(),
            },
            0..=2 => Event::Fetch {
                request: Arc::new(head()),
                body: self.body(),
            },
            3..=6 => Event::Rpc {
                path: vec![self.text(); self.below(3) as usize],
                args: (self.below(3) > 0).then(|| self.payload()),
            },
            7 if self.below(2) == 0 => Event::Restore {
                args: self.payload(),
            },
            _ => Event::LoadCode {},
        }
    }

    fn failure(&mut self) -> Failure {
        let mut failure = failure();
        failure.value = self.payload();
        failure
    }

    fn outcome(&mut self) -> Outcome {
        match self.below(9) {
            8 => Outcome::Connected { upgrade: None },
            0 | 1 => response(self.body()),
            2..=4 => Outcome::Value {
                payload: self.payload(),
            },
            5 => Outcome::Failed {
                failure: self.failure(),
            },
            6 => Outcome::Nothing { no_retry: false },
            _ => Outcome::Code {
                code: Box::new(self.code()),
            },
        }
    }

    fn code(&mut self) -> WorkerCode {
        WorkerCode {
            compatibility_date: "2026-01-01".to_owned(),
            compatibility_flags: Vec::new(),
            allow_experimental: false,
            main_module: "main.js".to_owned(),
            modules: vec![module(); self.below(3) as usize],
            env: self.payload(),
            outbound: match self.below(3) {
                0 => Outbound::Inherit {},
                1 => Outbound::Blocked {},
                _ => Outbound::Service { cap: self.cap() },
            },
            tails: (0..self.below(2)).map(|_| self.cap()).collect(),
            streaming_tails: Vec::new(),
            limits: Limits::NONE,
            jitless: self.below(16) == 15,
        }
    }

    fn frame(&mut self) -> ToHost {
        match self.below(28) {
            27 => ToHost::Restored {
                slot: self.new_cap(),
                call: self.call(),
                actor: None,
                entrypoint: self.text(),
                props: self.payload(),
                args: self.payload(),
                target: match self.below(4) {
                    0 => Attachment::Export {
                        export: ExportId(u32::from(self.next())),
                    },
                    _ => Attachment::Cap {
                        cap: self.cap(),
                        kind: CapKind::Service {},
                    },
                },
            },
            26 => ToHost::Bytes { bytes: self.blob() },
            24 => ToHost::StreamRead {
                stream: self.stream(),
            },
            25 => ToHost::StreamJoin {
                from: self.stream(),
                to: self.stream(),
            },
            0..=4 => self.call_out(),
            5 | 6 => ToHost::Return {
                call: self.call(),
                outcome: self.outcome(),
            },
            7 => ToHost::Done { call: self.call() },
            8 => ToHost::Cancel {
                call: CallId(u32::from(self.next())),
                reason: self.text(),
            },
            9 => ToHost::ReleaseCap { cap: self.cap() },
            10 => ToHost::DupCap {
                cap: self.cap(),
                copy: self.new_cap(),
            },
            11 | 12 => ToHost::StreamData {
                stream: self.stream(),
                bytes: self.blob(),
            },
            13 => ToHost::StreamEnd {
                stream: self.stream(),
            },
            14 => ToHost::StreamAbort {
                stream: self.stream(),
                failure: self.failure(),
            },
            15 => ToHost::StreamCredit {
                stream: self.stream(),
                bytes: self.below(255) * 1024,
            },
            16 => ToHost::StreamCancel {
                stream: self.stream(),
                reason: self.text(),
            },
            17 => ToHost::Load {
                worker: self.new_cap(),
                loader: self.cap(),
                code: Box::new(self.code()),
            },
            18 => ToHost::Get {
                worker: self.new_cap(),
                loader: self.cap(),
                id: (self.below(3) > 0).then(|| self.text()),
                callback: ExportId(self.below(6)),
            },
            19 | 20 => ToHost::GetEntrypoint {
                service: self.new_cap(),
                worker: self.cap(),
                name: None,
                props: self.payload(),
                limits: Limits::NONE,
            },
            21 => ToHost::GetSelf {
                service: self.new_cap(),
                name: self.text(),
                props: self.payload(),
            },
            22 => ToHost::Started {
                entrypoints: Vec::new(),
            },
            _ => self.words(),
        }
    }

    fn call_out(&mut self) -> ToHost {
        let event = self.event();
        let result = (self.below(2) == 0).then(|| self.new_cap());
        ToHost::Call {
            call: CallId(u32::from(self.next())),
            cap: self.cap(),
            event,
            result,
        }
    }

    fn words(&mut self) -> ToHost {
        let call = Some(self.call());
        match self.below(20) {
            12 => ToHost::TailMore { call: self.call() },
            13 => ToHost::SpanOpen {
                call: self.call(),
                span: self.below(6),
                parent: self.below(6),
                name: self.text(),
            },
            14 => ToHost::SpanClose {
                call: self.call(),
                span: self.below(6),
                attributes: self.text(),
            },
            15 => ToHost::Diagnostic {
                call: self.call(),
                channel: self.text(),
                message: self.blob(),
            },
            16 => ToHost::CallFrom {
                made: CallId(u32::from(self.next())),
                call: self.call(),
                span: self.below(6),
            },
            17 => ToHost::TraceHold { call: self.call() },
            18 => ToHost::TraceEnd { call: self.call() },
            10 => ToHost::Acting {
                call: (self.below(4) > 0).then(|| self.call()),
            },
            9 => ToHost::Running {},
            11 if self.below(8) == 7 => ToHost::Trapped {
                number: self.below(255),
            },
            0 => ToHost::StartFailed {
                failure: self.failure(),
            },
            1 => ToHost::Exception {
                call,
                failure: self.failure(),
            },
            _ => ToHost::Log {
                call,
                level: LogLevel::Log {},
                text: self.text(),
                values: LogValues::Json {
                    json: "[]".to_owned(),
                },
            },
        }
    }

    /// A frame as bytes; one in a while has a bit bent.
    fn frame_bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_frame(&self.frame(), &mut bytes);
        if self.below(32) == 31 {
            let at = usize::from(self.next()) % bytes.len();
            bytes[at] ^= 1 << self.below(8);
        }
        bytes
    }
}

// ---- a run

async fn play(bytes: &mut Bytes<'_>) -> Weak<Hub> {
    let mut world = World::new();
    let mut waiting: Vec<_> = ["a", "b", "c"].map(|name| world.fetch(name)).into();
    world.settle().await;
    for _ in 0..STEPS_MAX {
        if bytes.0.is_empty() {
            break;
        }
        let hostile = world.hostile();
        if hostile.is_empty() {
            // All were ended for their lies: the next call starts their Workers afresh.
            waiting.extend(["a", "b"].map(|name| world.fetch(name)));
            world.settle().await;
            continue;
        }
        let speaker = hostile[usize::from(bytes.next()) % hostile.len()];
        let piece = [usize::MAX, usize::MAX, 5, 64][bytes.below(4) as usize];
        let said = bytes.frame_bytes();
        world.say(speaker, &said, piece);
        if bytes.below(4) == 0 {
            world.settle().await;
        }
    }
    world.settle().await;
    honest_lives(&mut world).await;
    let bound = WRITTEN_BYTES_FIXED + world.told * WRITTEN_PER_TOLD;
    assert!(
        world.written <= bound,
        "{} bytes were written for {} told",
        world.written,
        world.told
    );
    world.supervisor.shutdown(Duration::ZERO).await;
    for call in waiting {
        let outcome = tokio::time::timeout(Duration::from_secs(1), call).await;
        let _ = outcome
            .expect("a call from outside has an outcome")
            .expect("it does not panic");
    }
    Arc::downgrade(world.supervisor.hub())
}

async fn honest_lives(world: &mut World) {
    let mut call = world.fetch("c");
    for _ in 0..16 {
        world.settle().await;
        if call.is_finished() {
            break;
        }
    }
    let outcome = tokio::time::timeout(Duration::from_secs(1), &mut call).await;
    let outcome = outcome
        .expect("the honest Worker answers")
        .expect("it does not panic");
    outcome.expect("the honest Worker's answer arrives");
    let honest = world.players.iter().filter(|player| player.name == "c");
    assert!(
        honest.clone().count() > 0
            && honest
                .clone()
                .all(|player| player.guest.end_reason().is_none())
    );
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder
        .enable_time()
        .build()
        .expect("a runtime needs no more than memory")
}

fuzz_target!(|bytes: &[u8]| {
    let runtime = runtime();
    let hub = runtime.block_on(async {
        let hub = play(&mut Bytes(bytes)).await;
        for _ in 0..TURNS {
            yield_now().await;
        }
        hub
    });
    drop(runtime);
    assert!(hub.upgrade().is_none(), "something keeps the hub alive");
});
