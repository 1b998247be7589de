//! A guest: a fork that seals itself, warms up, becomes one Worker and runs one loop.
//!
//! The loop looks at the socket, the waker (helper threads that finished something) and the clock;
//! gives each frame to the platform's handler of the same name; and sends what that turn's ops
//! appended, in one write. What frames mean is the platform's business.
//!
//! Invariants: the sandbox is sealed before the first byte from the host is read; one Worker per
//! guest (a second `Start` ends it); the guest ends when its socket does.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_engine::data::Data;
use mayfly_engine::{Called, Engine};
use mayfly_sandbox::fork::exit_now;
use mayfly_sandbox::mailbox::{Mailbox, Side};
use mayfly_sandbox::pages::PageRuns;
use mayfly_sandbox::poll::{self, Interest, Waker};
use mayfly_sandbox::seccomp::{Filter, SeccompError};
use mayfly_sandbox::{SysError, ask, descriptors, libc_state, rlimits, signals, trap};
use mayfly_wire::{
    Attachment, Blob, CallId, Event, Failure, FailureKind, Outcome, Payload, Start, ToGuest,
    ToHost, write_frame,
};
use thiserror::Error;

use crate::convert::{self, IntoData};
use crate::exit;
use crate::input::{Arrival, Input};
use crate::rehearsal::rehearse;
use crate::state::GuestState;

/// Reads of one turn at most, so that answers leave while a stream keeps coming.
const READS_PER_TURN_MAX: usize = 4;

/// How long a guest that holds new capabilities is idle before it collects garbage once, so that
/// the host hears of those it dropped: long enough that no caller waits for the collection, short
/// enough that a chain of evictions does not stall.
const IDLE_COLLECT: Duration = Duration::from_millis(500);

/// Bytes of frames, either way, in one turn after which a guest has memory to give back once it is idle.
const LARGE_BYTES: usize = 1024 * 1024;

/// How long a guest with unanswered calls and nothing to wait for is silent before the platform is
/// asked whether they can still be answered: long enough that no working call pays for the question.
const SILENCE: Duration = Duration::from_millis(100);

/// Writable memory that is the engine's rather than the Worker's: compilers at work, stacks of helper
/// threads, the young generation, and buffers that are garbage and not collected yet.
const DATA_BYTES_BESIDE_HEAP: u64 = 192 * 1024 * 1024;

/// Writable memory that compiling a module may take: some hundred times the largest that is sent.
const COMPILER_DATA_BYTES: u64 = 512 * 1024 * 1024;

/// A guest that was to stay awake does so after what took no longer.
const AWAKE_AFTER_MAX: Duration = Duration::from_millis(1);

/// A start that took no longer is told of together with what followed it.
const START_UNTOLD_MAX: Duration = Duration::from_millis(10);

/// What a fork begins with.
#[derive(Debug)]
pub struct Seed {
    /// Its end of its socket.
    pub socket: UnixStream,
    /// The memory that it shares with the host.
    pub mailbox: Option<OwnedFd>,
    /// The seccomp filter, where the kernel has seccomp.
    pub filter: Option<Filter>,
    /// Writable memory that it inherits.
    pub data_bytes: u64,
    /// What its start will write.
    pub warm_pages: Arc<PageRuns>,
}

const _: () = assert!(trap::HEAD_BYTES == ask::ANSWER_BYTES);

#[derive(Debug, Error)]
enum SealError {
    #[error(transparent)]
    System(#[from] SysError),
    #[error(transparent)]
    Socket(#[from] std::io::Error),
    #[error(transparent)]
    Seccomp(#[from] SeccompError),
}

/// The engine with a guest's state behind its ops.
pub type GuestEngine = Engine<GuestState>;

/// Lives as a guest.
pub fn run(mut engine: GuestEngine, mut seed: Seed) -> ! {
    let data_bytes = seed.data_bytes;
    // Also in a burst, when the Worker is here before the fork is warm: it would write them anyway.
    seed.warm_pages.populate();
    let warm = !seed.warm_pages.is_empty();
    // Once it is sealed it can map nothing that is shared.
    let mailbox = seed.mailbox.take().and_then(|memory| {
        let mapped = Mailbox::map(memory.as_fd(), Side::Guest).ok()?;
        Some(Arc::new(mapped))
    });
    let (socket, waker) = match seal(&mut engine, seed) {
        Ok(parts) => parts,
        Err(error) => {
            eprintln!("mayfly-guest: cannot seal a guest: {error}");
            exit_now(exit::UNSEALED)
        }
    };
    if !warm && !is_awaited(&socket) {
        rehearse(&mut engine, 1);
    }
    let state = engine.state();
    state.output.connect(Arc::clone(&socket), mailbox.clone());
    state.input = Some(Input::new(Arc::clone(&socket), mailbox));
    let mut guest = Guest {
        engine,
        socket,
        waker,
        data_bytes,
        started: false,
        traced: None,
        last_frame: Instant::now(),
        has_spare_pages: false,
        silence_asked: false,
    };
    loop {
        guest.turn();
    }
}

/// Whether the host has sent something already.
fn is_awaited(socket: &File) -> bool {
    poll::poll([(socket.as_fd(), Interest::Read)], Some(Duration::ZERO))
        .is_ok_and(|[ready]| ready.read)
}

/// Gives up everything but the socket and the waker.
fn seal(engine: &mut GuestEngine, seed: Seed) -> Result<(Arc<File>, Waker), SealError> {
    signals::reset()?;
    seed.socket.set_nonblocking(true)?;
    let socket = descriptors::move_to_socket(OwnedFd::from(seed.socket))?;
    descriptors::close_from(descriptors::SOCKET + 1)?;
    let waker = Waker::new()?;
    let for_helpers = waker.clone();
    engine.set_waker(Box::new(move || for_helpers.wake()));
    libc_state::keep_free_pages();
    engine.after_fork();
    engine.state().after_fork();
    rlimits::apply()?;
    // From here on errors have no way out but the exit code.
    descriptors::silence_errors()?;
    ask::answer_with(head_of(&ToHost::Running {}))?;
    if let Some(filter) = seed.filter {
        trap::report(head_of(&ToHost::Trapped { number: 0 }))?;
        filter.seal()?;
    }
    Ok((Arc::new(File::from(socket)), waker))
}

/// A frame's length and tag, for a signal handler that knows no frames.
fn head_of(frame: &ToHost) -> [u8; trap::HEAD_BYTES] {
    let mut bytes = Vec::new();
    write_frame(frame, &mut bytes);
    let mut head = [0; trap::HEAD_BYTES];
    for (byte, of_frame) in head.iter_mut().zip(bytes) {
        *byte = of_frame;
    }
    head
}

struct Guest {
    engine: GuestEngine,
    socket: Arc<File>,
    waker: Waker,
    /// Writable memory that it was forked with.
    data_bytes: u64,
    started: bool,
    /// Somebody follows the invocation of this number, which comes next.
    traced: Option<CallId>,
    last_frame: Instant,
    /// Large messages or much of a stream passed since memory was last given back.
    has_spare_pages: bool,
    /// The platform was asked about unanswered calls since something last happened.
    silence_asked: bool,
}

impl Guest {
    /// Waits for something to happen and deals with all that has.
    fn turn(&mut self) {
        if !self.read_awake() {
            self.wait();
        }
        self.wake_if_due();
        self.ask_if_hung();
        self.has_spare_pages |= self.engine.state().passed_bytes() >= LARGE_BYTES;
        self.collect_if_idle();
        // A storage call that waited may have met frames before its reply.
        self.handle_frames();
        self.engine.state().output.flush();
    }

    /// Sleeps until there is something to do, and does it.
    fn wait(&mut self) {
        let interest = if self.engine.state().output.is_pending() {
            Interest::ReadWrite
        } else {
            Interest::Read
        };
        let timeout = self.timeout();
        let descriptors = [
            (self.socket.as_fd(), interest),
            (self.waker.as_fd(), Interest::Read),
        ];
        let Ok([socket, waker]) = poll::poll(descriptors, timeout) else {
            exit_now(exit::SYSTEM)
        };
        if waker.read {
            self.silence_asked = false;
            self.waker.clear();
            let called = self.engine.run_dispatched();
            self.settle(called);
        }
        if socket.read {
            self.receive();
        }
    }

    /// Where the host asked for it, looks for the next call or outcome without sleeping: whether one came.
    fn read_awake(&mut self) -> bool {
        let last_frame = self.last_frame;
        let state = self.engine.state();
        if !state.may_stay_awake() || last_frame.elapsed() > AWAKE_AFTER_MAX {
            return false;
        }
        match state.read_awake() {
            Ok(Arrival::Some) => true,
            Ok(Arrival::None) => false,
            Ok(Arrival::End) => exit_now(exit::DONE),
            Err(_) => exit_now(exit::SYSTEM),
        }
    }

    fn timeout(&mut self) -> Option<Duration> {
        let hung_at = self.hung_at();
        let is_due = self.collection_is_due();
        let state = self.engine.state();
        let collect_at = is_due.then_some(self.last_frame + IDLE_COLLECT);
        let at = state
            .wake_at
            .into_iter()
            .chain(collect_at)
            .chain(hung_at)
            .min()?;
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// When to ask whether unanswered calls can still be answered.
    fn hung_at(&mut self) -> Option<Instant> {
        let ask = !self.silence_asked && self.engine.state().seems_hung();
        ask.then_some(self.last_frame + SILENCE)
    }

    fn ask_if_hung(&mut self) {
        if self.hung_at().is_none_or(|at| at > Instant::now()) {
            return;
        }
        if self.engine.has_work_on_threads() {
            // A compilation, say, which may be what a call waits for.
            self.last_frame = Instant::now();
            return;
        }
        self.silence_asked = true;
        let own = self.engine.state().own_calls.last().copied();
        self.call("silence", vec![own.into_data()]);
    }

    fn receive(&mut self) {
        for _ in 0..READS_PER_TURN_MAX {
            match self.engine.state().read() {
                Ok(Arrival::Some) => self.handle_frames(),
                Ok(Arrival::None) => return,
                Ok(Arrival::End) => exit_now(exit::DONE),
                Err(_) => exit_now(exit::SYSTEM),
            }
        }
    }

    fn handle_frames(&mut self) {
        loop {
            match self.engine.state().next_frame() {
                Ok(Some(frame)) => self.handle(frame),
                Ok(None) => return,
                Err(_) => exit_now(exit::PROTOCOL),
            }
        }
    }

    fn handle(&mut self, frame: ToGuest) {
        self.last_frame = Instant::now();
        self.silence_asked = false;
        self.engine.state().heard(&frame);
        match frame {
            ToGuest::Start { start } if !self.started => {
                self.started = true;
                self.start(*start);
            }
            ToGuest::Compile { name, source } if !self.started => self.compile(&name, &source.0),
            ToGuest::Start { .. } | ToGuest::Compile { .. } => exit_now(exit::PROTOCOL),
            _ if !self.started => exit_now(exit::PROTOCOL),
            ToGuest::Bytes { bytes } => self.engine.state().beside.push_back(bytes.0),
            ToGuest::Collect {} => self.collect(),
            ToGuest::Traced { call } => self.traced = Some(call),
            // The state keeps it.
            ToGuest::OwnCall { .. } => {}
            ToGuest::StayAwake { us } => self.engine.state().stay_awake(us),
            mut frame => {
                if !frame.put_beside(&mut self.engine.state().beside) {
                    exit_now(exit::PROTOCOL);
                }
                self.engine.state().holds_new_caps |= brings_cap(&frame);
                let traced = self.is_traced(&frame);
                if let Some((handler, mut arguments)) = handler_call(frame) {
                    if traced {
                        arguments.push(Data::Bool(true));
                    }
                    self.call(handler, arguments);
                }
            }
        }
    }

    fn is_traced(&mut self, frame: &ToGuest) -> bool {
        match frame {
            ToGuest::Invoke { call, .. } | ToGuest::InvokeActor { call, .. } => {
                self.traced.take_if(|traced| traced == call).is_some()
            }
            _ => false,
        }
    }

    fn start(&mut self, start: Start) {
        let parts = convert::split_start(start);
        let beside = self.data_bytes.saturating_add(DATA_BYTES_BESIDE_HEAP);
        let data_bytes_max = parts.heap_bytes_max.saturating_add(beside);
        if rlimits::limit_data(data_bytes_max).is_err() {
            exit_now(exit::SYSTEM);
        }
        self.engine
            .set_limits(parts.heap_bytes_max, parts.collect_always);
        self.engine.set_modules(parts.modules);
        // `env` and the outbound service last as long as the Worker: nothing of them is to be found
        // by a collection.
        let began = Instant::now();
        self.call("start", vec![parts.info]);
        if began.elapsed() > START_UNTOLD_MAX {
            // What comes next is no longer the start's doing, which the host must know.
            self.engine.state().output.flush();
        }
    }

    /// The whole life of a guest that compiles: it runs nobody's code, so that others may trust what it
    /// says of this one source.
    fn compile(&mut self, name: &str, source: &[u8]) -> ! {
        if rlimits::limit_data(self.data_bytes.saturating_add(COMPILER_DATA_BYTES)).is_err() {
            exit_now(exit::SYSTEM);
        }
        let bytes = self.engine.encode_module(name, source).unwrap_or_default();
        let output = &mut self.engine.state().output;
        let bytes = Blob(bytes);
        if output.push(&ToHost::Compiled { bytes }).is_ok() {
            output.flush_all();
        }
        exit_now(exit::DONE)
    }

    fn wake_if_due(&mut self) {
        let state = self.engine.state();
        if state.wake_at.is_some_and(|at| at <= Instant::now()) {
            state.wake_at = None;
            self.silence_asked = false;
            self.call("wake", vec![]);
        }
    }

    fn collection_is_due(&mut self) -> bool {
        self.has_spare_pages || self.engine.state().holds_new_caps
    }

    fn collect_if_idle(&mut self) {
        if self.collection_is_due() && self.last_frame.elapsed() >= IDLE_COLLECT {
            self.engine.state().holds_new_caps = false;
            self.collect();
            if std::mem::take(&mut self.has_spare_pages) {
                libc_state::give_back_free_pages();
            }
        }
    }

    fn collect(&mut self) {
        self.engine.collect();
        // Finalisers run at the end of a turn, and this makes one.
        let called = self.engine.run_dispatched();
        self.settle(called);
    }

    fn call(&mut self, handler: &str, arguments: Vec<Data>) {
        let called = self.engine.call(handler, arguments);
        self.settle(called);
    }

    /// What a Worker throws is the platform's to report. What the platform throws is the end.
    fn settle(&mut self, called: Called) {
        self.engine.state().storage_settled();
        let message = match called {
            Called::Quiet => return,
            Called::Terminated => "ended from outside".to_owned(),
            Called::Failed(error) => error.to_string(),
        };
        let failure = Failure::new(FailureKind::Internal {}, "Error", message);
        let output = &mut self.engine.state().output;
        let frame = ToHost::Exception {
            call: None,
            failure,
        };
        if output.push(&frame).is_ok() {
            output.flush_all();
        }
        exit_now(exit::PLATFORM)
    }
}

/// The handler of `platform/ops.ts` that a frame is for, and its arguments. `None` for those that the
/// loop handles itself.
pub(crate) fn handler_call(frame: ToGuest) -> Option<(&'static str, Vec<Data>)> {
    let (handler, arguments) = match frame {
        // A reply is taken by the op that waits for it; one that nobody waits for means nothing.
        ToGuest::Start { .. }
        | ToGuest::Bytes { .. }
        | ToGuest::Compile { .. }
        | ToGuest::Collect {}
        | ToGuest::Traced { .. }
        | ToGuest::OwnCall { .. }
        | ToGuest::StayAwake { .. }
        | ToGuest::StorageReply { .. } => return None,
        ToGuest::Invoke {
            call,
            entrypoint,
            props,
            event,
        } => {
            let call = call.into_data();
            let plain = if props == Payload::empty() {
                convert::split_rpc(event)
            } else {
                Err(event)
            };
            match plain {
                Ok([path, args, attached]) => (
                    "invokeRpc",
                    vec![call, Data::Name(entrypoint), path, args, attached],
                ),
                Err(event) => (
                    "invoke",
                    vec![
                        call,
                        entrypoint.into_data(),
                        props.into_data(),
                        event.into_data(),
                    ],
                ),
            }
        }
        ToGuest::CallExport {
            call,
            export,
            event,
        } => on_object(
            ["callExport", "callExportRpc"],
            [call.into_data(), export.into_data()],
            event,
        ),
        ToGuest::CallAnswer {
            call,
            answer,
            event,
        } => on_object(
            ["callAnswer", "callAnswerRpc"],
            [call.into_data(), answer.into_data()],
            event,
        ),
        ToGuest::Return { call, outcome } => match convert::split_value(outcome) {
            Ok([value, attached]) => ("returnedValue", vec![call.into_data(), value, attached]),
            Err(outcome) => ("returned", vec![call.into_data(), outcome.into_data()]),
        },
        ToGuest::Cancel { call, reason } => ("cancel", vec![call.into_data(), reason.into_data()]),
        ToGuest::StreamData { stream, bytes } => {
            ("streamData", vec![stream.into_data(), bytes.into_data()])
        }
        ToGuest::StreamEnd { stream } => ("streamEnd", vec![stream.into_data()]),
        ToGuest::StreamAbort { stream, failure } => {
            ("streamAbort", vec![stream.into_data(), failure.into_data()])
        }
        ToGuest::StreamCredit { stream, bytes } => {
            ("streamCredit", vec![stream.into_data(), bytes.into_data()])
        }
        ToGuest::StreamCancel { stream, reason } => {
            ("streamCancel", vec![stream.into_data(), reason.into_data()])
        }
        ToGuest::StreamPassed { stream } => ("streamPassed", vec![stream.into_data()]),
        ToGuest::ReleaseExport { export, count } => {
            ("releaseExport", vec![export.into_data(), count.into_data()])
        }
        ToGuest::ReleaseAnswer { call } => ("releaseAnswer", vec![call.into_data()]),
        ToGuest::CapBroken { cap, failure } => {
            ("capBroken", vec![cap.into_data(), failure.into_data()])
        }
        ToGuest::TailEvents { call, events } => {
            ("tailEvents", vec![call.into_data(), events.into_data()])
        }
        ToGuest::StartActor { actor, start } => {
            ("startActor", vec![actor.into_data(), start.into_data()])
        }
        ToGuest::InvokeActor { call, actor, event } => on_object(
            ["invokeActor", "invokeActorRpc"],
            [call.into_data(), actor.into_data()],
            event,
        ),
        ToGuest::StopActor { actor, failure } => {
            ("stopActor", vec![actor.into_data(), failure.into_data()])
        }
    };
    Some((handler, arguments))
}

/// The call of one of two handlers: that for any event, or that for what `split_rpc` splits.
fn on_object(
    [any, rpc]: [&'static str; 2],
    [call, object]: [Data; 2],
    event: Event,
) -> (&'static str, Vec<Data>) {
    match convert::split_rpc(event) {
        Ok([path, args, attached]) => (rpc, vec![call, object, path, args, attached]),
        Err(event) => (any, vec![call, object, event.into_data()]),
    }
}

/// Whether a frame gives the guest a capability.
fn brings_cap(frame: &ToGuest) -> bool {
    fn in_event(event: &Event) -> bool {
        match event {
            Event::Rpc {
                args: Some(args), ..
            } => in_attachments(&args.attachments),
            _ => false,
        }
    }
    fn in_attachments(attachments: &[Attachment]) -> bool {
        attachments
            .iter()
            .any(|attachment| matches!(attachment, Attachment::Cap { .. }))
    }
    match frame {
        ToGuest::Invoke { props, event, .. } => {
            in_attachments(&props.attachments) || in_event(event)
        }
        ToGuest::CallExport { event, .. }
        | ToGuest::CallAnswer { event, .. }
        | ToGuest::InvokeActor { event, .. } => in_event(event),
        ToGuest::Return { outcome, .. } => match outcome {
            Outcome::Value { payload } => in_attachments(&payload.attachments),
            Outcome::Failed { failure } => in_attachments(&failure.value.attachments),
            Outcome::Connected { upgrade } => upgrade.is_some(),
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_signal_handlers_write_are_whole_frames() {
        let mut running = Vec::new();
        write_frame(&ToHost::Running {}, &mut running);
        assert_eq!(head_of(&ToHost::Running {}).to_vec(), running);
        let number: u32 = 257;
        let mut sent = head_of(&ToHost::Trapped { number: 0 }).to_vec();
        sent.extend_from_slice(&number.to_le_bytes());
        let mut frame = Vec::new();
        write_frame(&ToHost::Trapped { number }, &mut frame);
        assert_eq!(sent, frame);
    }
}
