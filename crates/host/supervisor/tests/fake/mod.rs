//! Made-up guests: the other end of a guest's socket, driven frame by frame by a test.
//!
//! No engine, no process: what a guest would say is written by hand, so that hostile and rare
//! orders can be said too. Every wait is bounded.

#![allow(dead_code, reason = "each test binary uses its own part")]

use mayfly_exchange::{Body, BoxFuture, Failure, Request, Response, Service, SharedService};
use mayfly_sandbox::affinity::Cores;
use mayfly_sandbox::mailbox::{self, Mailbox, Side};
use mayfly_sandbox::poll::{Interest, poll};
use mayfly_supervisor::pool::Nursery;
use mayfly_supervisor::process::Process;
use mayfly_supervisor::socket::Socket;
use mayfly_supervisor::{
    BindingDefinition, Caps, Options, OutboundDefinition, Policy, ServiceTarget, Supervisor,
    WorkerDefinition,
};
use mayfly_wire::*;
use std::future::Future;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// Longest wait for anything in these tests: so that what never comes is a failure. How soon it comes is
/// not what they prove, so a machine with much else to do has time.
pub const WAIT: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct FakeProcess {
    pub killed: AtomicBool,
    pub cpu_us: AtomicU64,
    pub memory_bytes: AtomicU64,
    /// Bound to a core with another.
    pub bound: AtomicBool,
    /// The memory that it shares with the host, where it has any.
    pub memory: OnceLock<OwnedFd>,
}

impl Process for FakeProcess {
    fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
    }
    fn cpu(&self) -> Option<Duration> {
        Some(Duration::from_micros(self.cpu_us.load(Ordering::SeqCst)))
    }
    fn memory_bytes(&self) -> Option<u64> {
        Some(self.memory_bytes.load(Ordering::SeqCst))
    }
    fn pid(&self) -> i32 {
        1
    }
    fn mailbox(&self) -> Option<Arc<Mailbox>> {
        let map = |memory: &OwnedFd| Mailbox::map(memory.as_fd(), Side::Host).unwrap();
        self.memory.get().map(map).map(Arc::new)
    }
    fn bind(&self, _: &Cores) {
        self.bound.store(true, Ordering::SeqCst);
    }
    fn release(&self, _: &Cores) {
        self.bound.store(false, Ordering::SeqCst);
    }
}

pub struct FakeGuest {
    pub stream: UnixStream,
    pub process: Arc<FakeProcess>,
    pub guest: Arc<mayfly_supervisor::guest::Guest>,
    /// Bytes that went through the socket, either way.
    pub sent: u64,
    pub heard: u64,
}

struct FakeNursery(mpsc::UnboundedSender<usize>);

impl Nursery for FakeNursery {
    fn fork(&self, count: usize) {
        let _ = self.0.send(count);
    }
}

pub struct World {
    pub supervisor: Supervisor,
    born: mpsc::UnboundedReceiver<FakeGuest>,
}

pub fn options() -> Options {
    let mut options = Options::new("/nonexistent".into());
    options.pool_min = 0;
    options.pool_max = 0;
    options
}

impl World {
    pub fn new() -> Self {
        Self::with(options())
    }

    /// A world without a warm pool: every guest that is born is one that a Worker asked for.
    pub fn with(options: Options) -> Self {
        let (sender, mut wanted) = mpsc::unbounded_channel();
        let supervisor = Supervisor::with_nursery(options, Box::new(FakeNursery(sender)));
        let hub = Arc::downgrade(supervisor.hub());
        let (births, born) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(count) = wanted.recv().await {
                for _ in 0..count {
                    let Some(hub) = hub.upgrade() else { return };
                    let (ours, theirs) = UnixStream::pair().unwrap();
                    let ours = Socket::new(ours.into_std().unwrap()).unwrap();
                    let process = Arc::new(FakeProcess::default());
                    let guest = hub.adopt(ours, process.clone());
                    let fake = FakeGuest {
                        stream: theirs,
                        process,
                        guest,
                        sent: 0,
                        heard: 0,
                    };
                    if births.send(fake).is_err() {
                        return;
                    }
                }
            }
        });
        Self { supervisor, born }
    }

    pub fn deploy(&self, definitions: Vec<WorkerDefinition>) {
        self.supervisor
            .deploy(definitions, Arc::new(EchoNetwork))
            .unwrap();
    }

    /// The next guest that was forked.
    pub async fn guest(&mut self) -> FakeGuest {
        within(self.born.recv()).await.unwrap()
    }

    /// The next guest that becomes `worker`; what others asked for ends.
    pub async fn started_as(&mut self, worker: &str) -> FakeGuest {
        loop {
            let (guest, start) = self.started().await;
            if start.name == worker {
                return guest;
            }
        }
    }

    /// The next guest, which has its `Start` already.
    pub async fn started(&mut self) -> (FakeGuest, Start) {
        let mut guest = self.guest().await;
        match guest.recv().await {
            ToGuest::Start { start } => {
                guest
                    .send(ToHost::Started {
                        entrypoints: Vec::new(),
                    })
                    .await;
                (guest, *start)
            }
            other => panic!("expected Start, got {other:?}"),
        }
    }

    pub async fn no_guest(&mut self) {
        let born = tokio::time::timeout(Duration::from_millis(50), self.born.recv()).await;
        assert!(born.is_err(), "a guest was forked that nobody needs");
    }

    pub fn fetch(&self, worker: &str) -> tokio::task::JoinHandle<Result<Response, Failure>> {
        let service = self.supervisor.service(worker, "").unwrap();
        tokio::spawn(async move { service.fetch(request("/")).await })
    }
}

impl FakeGuest {
    /// Its side of its mailbox, which the host finds when it looks.
    pub fn mailbox(&self) -> Mailbox {
        let make = || mailbox::create().unwrap();
        let memory = self.process.memory.get_or_init(make);
        Mailbox::map(memory.as_fd(), Side::Guest).unwrap()
    }

    pub async fn recv(&mut self) -> ToGuest {
        within(self.try_recv()).await.expect("socket closed")
    }

    pub async fn try_recv(&mut self) -> Option<ToGuest> {
        let mut prefix = [0; LENGTH_BYTES];
        self.stream.read_exact(&mut prefix).await.ok()?;
        let mut body = vec![0; frame_length(prefix).unwrap()];
        self.stream.read_exact(&mut body).await.ok()?;
        self.heard += (LENGTH_BYTES + body.len()) as u64;
        Some(read_frame(&body).unwrap())
    }

    pub async fn quiet(&mut self) {
        let got = tokio::time::timeout(Duration::from_millis(50), self.try_recv()).await;
        assert!(got.is_err(), "unexpected frame {got:?}");
    }

    pub async fn send(&mut self, frame: ToHost) {
        self.send_all(&[frame]).await;
    }

    pub async fn send_all(&mut self, frames: &[ToHost]) {
        let mut bytes = Vec::new();
        for frame in frames {
            write_frame(frame, &mut bytes);
        }
        within(self.stream.write_all(&bytes)).await.unwrap();
        self.sent += bytes.len() as u64;
    }

    /// Whether something has come.
    pub fn has_bytes(&self) -> bool {
        let [ready] = poll(
            [(self.stream.as_fd(), Interest::Read)],
            Some(Duration::ZERO),
        )
        .unwrap();
        ready.read
    }

    /// The next invocation, followed or not.
    pub async fn invoke(&mut self) -> (CallId, Event) {
        let mut frame = self.recv().await;
        if matches!(frame, ToGuest::Traced { .. }) {
            frame = self.recv().await;
        }
        match frame {
            ToGuest::Invoke { call, event, .. } => (call, event),
            other => panic!("expected Invoke, got {other:?}"),
        }
    }

    pub async fn returned(&mut self) -> (CallId, Outcome) {
        match self.recv().await {
            ToGuest::Return { call, outcome } => (call, outcome),
            other => panic!("expected Return, got {other:?}"),
        }
    }

    pub async fn answer(&mut self, call: CallId, text: &str) {
        self.send_all(&[
            ToHost::Return {
                call,
                outcome: response(text),
            },
            ToHost::Done { call },
        ])
        .await;
    }

    /// The host ends this guest.
    pub async fn is_killed(&mut self) {
        let end = async { while self.try_recv().await.is_some() {} };
        within(end).await;
        assert!(self.process.killed.load(Ordering::SeqCst), "not killed");
    }

    pub fn is_alive(&self) -> bool {
        !self.process.killed.load(Ordering::SeqCst)
    }
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT, future)
        .await
        .expect("took too long")
}

pub async fn eventually(what: &str, mut test: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + WAIT;
    while !test() {
        assert!(tokio::time::Instant::now() < end, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub fn worker(name: &str, bindings: Vec<(&str, BindingDefinition)>) -> WorkerDefinition {
    WorkerDefinition {
        name: name.to_owned(),
        modules: vec![module()],
        main_module: "main.js".to_owned(),
        compatibility_flags: Vec::new(),
        bindings: bindings
            .into_iter()
            .map(|(name, binding)| (name.to_owned(), binding))
            .collect(),
        outbound: OutboundDefinition::Network,
        limits: Limits::NONE,
        caps: Caps::default(),
        tails: Vec::new(),
        streaming_tails: Vec::new(),
        actors: Vec::new(),
    }
}

pub fn service(worker: &str) -> BindingDefinition {
    BindingDefinition::Service(target(worker))
}

pub fn target(worker: &str) -> ServiceTarget {
    ServiceTarget {
        worker: worker.to_owned(),
        entrypoint: String::new(),
        props: Vec::new(),
    }
}

pub fn loader() -> BindingDefinition {
    BindingDefinition::Loader {
        shared: None,
        policy: Policy::default(),
    }
}

pub fn module() -> Module {
    Module {
        name: "main.js".to_owned(),
        kind: ModuleKind::Js {},
        content: Blob(b"export default {}".to_vec()),
    }
}

pub fn code() -> WorkerCode {
    WorkerCode {
        compatibility_date: "2026-01-01".to_owned(),
        compatibility_flags: Vec::new(),
        allow_experimental: false,
        main_module: "main.js".to_owned(),
        modules: vec![module()],
        env: Payload::empty(),
        outbound: Outbound::Inherit {},
        tails: Vec::new(),
        streaming_tails: Vec::new(),
        limits: Limits::NONE,
        jitless: false,
    }
}

pub fn head(path: &str) -> RequestHead {
    RequestHead {
        method: "GET".to_owned(),
        url: format!("http://test{path}"),
        headers: Vec::new(),
        redirect: Redirect::Manual {},
        cf: String::new(),
        encoded: false,
    }
}

pub fn request(path: &str) -> Request {
    Request {
        head: head(path),
        body: Body::Empty,
    }
}

pub fn fetch_event() -> Event {
    Event::Fetch {
        request: Arc::new(head("/")),
        body: mayfly_wire::Body::Empty {},
    }
}

pub fn rpc_event(name: &str) -> Event {
    Event::Rpc {
        path: vec![name.to_owned()],
        args: Some(Payload::empty()),
    }
}

pub fn response_head() -> Box<ResponseHead> {
    Box::new(ResponseHead {
        status: 200,
        status_text: String::new(),
        headers: Vec::new(),
        url: String::new(),
        redirected: false,
        encoded: false,
    })
}

pub fn response(text: &str) -> Outcome {
    Outcome::Response {
        head: response_head(),
        body: mayfly_wire::Body::Inline {
            bytes: Blob(text.as_bytes().to_vec()),
        },
    }
}

pub fn value(attachments: Vec<Attachment>) -> Outcome {
    Outcome::Value {
        payload: Payload {
            bytes: Blob(vec![1]),
            attachments,
        },
    }
}

pub async fn text(response: Result<Response, Failure>) -> String {
    match response.unwrap().body {
        Body::Empty | Body::Socket(_) => String::new(),
        Body::Full(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Body::Stream { mut reader, .. } => {
            let mut all = Vec::new();
            while let Some(piece) = within(reader.next()).await {
                all.extend_from_slice(&piece.unwrap());
            }
            String::from_utf8(all).unwrap()
        }
    }
}

/// Slot of a binding by name.
pub fn slot(start: &Start, wanted: &str) -> CapId {
    let Env::Bindings { bindings } = &start.env else {
        panic!("no bindings");
    };
    let (_, binding) = bindings.iter().find(|(name, _)| name == wanted).unwrap();
    match binding {
        Binding::Service { cap } | Binding::Loader { cap } => *cap,
        other => panic!("not a capability: {other:?}"),
    }
}

/// Answers with the request's URL.
pub struct EchoNetwork;

impl Service for EchoNetwork {
    fn fetch(&self, request: Request) -> BoxFuture<Result<Response, Failure>> {
        Box::pin(async move {
            let mut body = request.head.url.into_bytes();
            if let Body::Stream { mut reader, .. } = request.body {
                while let Some(piece) = reader.next().await {
                    body.extend_from_slice(&piece?);
                }
            }
            Ok(Response {
                head: *response_head(),
                body: Body::Full(body.into()),
            })
        })
    }
}

pub fn network() -> SharedService {
    Arc::new(EchoNetwork)
}
