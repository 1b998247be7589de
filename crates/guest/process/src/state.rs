//! What ops get to see: the state behind the engine of one guest.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use mayfly_engine::data::OpError;
use mayfly_engine::jobs_taken;
use mayfly_ops::{HasOps, OpsState};
use mayfly_sandbox::ask;
use mayfly_sandbox::fork::exit_now;
use mayfly_wire::bounds::FRAME_BYTES_MAX;
use mayfly_wire::{
    ActorId, CallId, CapId, Event, StorageReply, StorageRequest, ToGuest, ToHost, WireError,
};

use crate::exit;
use crate::input::{Arrival, Input};
use crate::output::{OUT_BYTES_MAX, Output};

/// Farthest a wake may lie ahead. JavaScript's timers end at 2^31 ms, below it.
const WAKE_AHEAD_MAX: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// More than a frame takes for a name beside its bytes, and for a call beside names and arguments.
const NAME_HEAD_BYTES: usize = 8;
const CALL_HEAD_BYTES: usize = 64;

/// State of a zygote's or guest's ops.
#[derive(Debug, Default)]
pub struct GuestState {
    ops: OpsState,
    /// Frames on their way to the host. In a zygote it has no socket and takes nothing.
    pub output: Output,
    /// Frames from the host; absent in a zygote.
    pub input: Option<Input>,
    /// Frames that came while a storage call waited for its reply. The host bounds what it sends to
    /// a guest that does not read (`OUT_BYTES_MAX` there), and so this.
    early: VecDeque<ToGuest>,
    /// What came beside the payload of the next message.
    pub beside: VecDeque<Vec<u8>>,
    /// RPC calls that wait for the end of their job, and what goes right before them.
    queued: VecDeque<ToHost>,
    queued_bytes: usize,
    /// The job that made them.
    queued_in: u64,
    /// Something was written to storage in this turn: the host waits for its end.
    storage_open: bool,
    /// How long it looks for the next frame before it sleeps, where nothing is left to do here.
    awake: Duration,
    /// When the platform asked to be woken.
    pub wake_at: Option<Instant>,
    /// Calls into this guest that have no outcome yet.
    pub calls_unanswered: u32,
    /// Calls of this guest whose outcome has not come.
    pub calls_waiting: u32,
    /// Calls of this guest into itself that have no outcome yet, in the order in which they came. The host
    /// bounds them as it does all calls (`CALLS_MAX`).
    pub own_calls: Vec<CallId>,
    /// Capabilities came to this guest since garbage was last collected for their sake.
    pub holds_new_caps: bool,
}

impl GuestState {
    /// Renews what a fork must not share.
    pub fn after_fork(&mut self) {
        self.ops.after_fork();
    }

    /// Reads from the socket once.
    pub fn read(&mut self) -> io::Result<Arrival> {
        self.input.as_mut().map_or(Ok(Arrival::None), Input::read)
    }

    /// The host says how long to stay awake, in microseconds.
    pub fn stay_awake(&mut self, us: u32) {
        self.awake = Duration::from_micros(us.into());
    }

    /// Whether the next frame is worth waiting for awake: no call is under way here, or it waits for one
    /// of its own, and all that was to be said is out.
    pub fn may_stay_awake(&self) -> bool {
        !self.awake.is_zero()
            && (self.calls_unanswered == 0 || self.calls_waiting > 0)
            && !self.output.is_pending()
    }

    /// Looks for something to read without sleeping.
    pub fn read_awake(&mut self) -> io::Result<Arrival> {
        let until = Instant::now() + self.awake;
        match &mut self.input {
            Some(input) => input.read_awake(until),
            None => Ok(Arrival::None),
        }
    }

    /// Bytes that came and went since this was last asked.
    pub fn passed_bytes(&mut self) -> usize {
        let came = self.input.as_mut().map_or(0, Input::take_arrived);
        came + self.output.take_written()
    }

    /// The next whole frame, if it is there.
    pub fn next_frame(&mut self) -> Result<Option<ToGuest>, WireError> {
        match self.early.pop_front() {
            Some(frame) => Ok(Some(frame)),
            None => self.input.as_mut().map_or(Ok(None), Input::frame),
        }
    }

    /// Asks an instance's storage and waits for the reply, whatever else comes meanwhile.
    pub fn ask_storage(
        &mut self,
        actor: ActorId,
        request: StorageRequest,
    ) -> Result<StorageReply, OpError> {
        self.send(&ToHost::Storage { actor, request })?;
        if self.input.is_none() {
            return Err(OpError::type_error(
                "there is no storage before a Worker has started",
            ));
        }
        self.output.flush_all();
        loop {
            let frame = match &mut self.input {
                Some(input) => input.frame(),
                None => exit_now(exit::SYSTEM),
            };
            match frame {
                Ok(Some(ToGuest::StorageReply { reply })) => {
                    self.storage_open |= reply.open;
                    return Ok(reply);
                }
                Ok(Some(ToGuest::StayAwake { us })) => self.stay_awake(us),
                Ok(Some(frame)) => self.early.push_back(frame),
                Ok(None) => self.wait_for_more(),
                Err(_) => exit_now(exit::PROTOCOL),
            }
        }
    }

    fn wait_for_more(&mut self) {
        let awake = match self.awake.is_zero() {
            true => Ok(Arrival::None),
            false => self.read_awake(),
        };
        let arrived = match (awake, &mut self.input) {
            (Ok(Arrival::None), Some(input)) => input.wait(),
            (Ok(Arrival::None), None) => exit_now(exit::SYSTEM),
            (arrived, _) => arrived,
        };
        match arrived {
            Ok(Arrival::Some | Arrival::None) => {}
            Ok(Arrival::End) => exit_now(exit::DONE),
            Err(_) => exit_now(exit::SYSTEM),
        }
    }

    /// The turn is over: says so where the host waits for it.
    pub fn storage_settled(&mut self) {
        self.send_queued();
        if std::mem::take(&mut self.storage_open) && self.output.push(&ToHost::Settled {}).is_err()
        {
            exit_now(exit::SYSTEM);
        }
    }

    /// Takes an RPC call, which is sent when its job is over, because only then is it known whether its
    /// result is called again before it arrives: `a.b().c()` asks for a slot that names the future result,
    /// `await a.b()` does not, and a slot costs both sides work. Calls leave in the order in which they
    /// were made, and nothing overtakes them that must not (`overtakes`).
    pub fn queue_call(&mut self, frame: ToHost) -> Result<(), OpError> {
        let bytes = bytes_of_call(&frame);
        if bytes > FRAME_BYTES_MAX {
            return Err(OpError {
                class: "RangeError",
                message: format!("this would send {bytes} bytes at once, limit {FRAME_BYTES_MAX}"),
            });
        }
        if self.input.is_none() {
            return self.send(&frame);
        }
        self.queue(frame, bytes);
        Ok(())
    }

    fn queue(&mut self, frame: ToHost, bytes: usize) {
        let job = jobs_taken();
        if job != self.queued_in || self.queued_bytes > OUT_BYTES_MAX {
            self.send_queued();
        }
        self.queued_in = job;
        self.queued_bytes += bytes;
        self.queued.push_back(frame);
    }

    /// Asks for a slot that names the future result of a call. `false`: it has been sent.
    pub fn result_of_queued(&mut self, call: CallId, slot: CapId) -> bool {
        if self.queued_in != jobs_taken() {
            self.send_queued();
        }
        // Most often it was made last.
        for frame in self.queued.iter_mut().rev() {
            if let ToHost::Call {
                call: made, result, ..
            } = frame
                && *made == call
            {
                *result = Some(slot);
                return true;
            }
        }
        false
    }

    /// Sends the calls that wait.
    pub fn send_queued(&mut self) {
        self.queued_bytes = 0;
        while let Some(frame) = self.queued.pop_front() {
            if self.send_now(&frame, Vec::new()).is_err() {
                // It was small enough, and there is a socket.
                exit_now(exit::SYSTEM);
            }
        }
    }

    /// Queues one frame. Those of a rehearsal change nothing that outlives it.
    pub fn send(&mut self, frame: &ToHost) -> Result<(), OpError> {
        self.send_message(frame, Vec::new())
    }

    /// The same with what goes beside its payload.
    pub fn send_message(&mut self, frame: &ToHost, beside: Vec<Vec<u8>>) -> Result<(), OpError> {
        if let ToHost::CallFrom { .. } = frame
            && self.input.is_some()
        {
            self.queue(frame.clone(), 0);
            return Ok(());
        }
        if !self.queued.is_empty() && (self.queued_in != jobs_taken() || !overtakes(frame)) {
            self.send_queued();
        }
        self.send_now(frame, beside)
    }

    fn send_now(&mut self, frame: &ToHost, beside: Vec<Vec<u8>>) -> Result<(), OpError> {
        self.holds_new_caps |= introduces_cap(frame);
        self.output.push_message(frame, beside)?;
        match frame {
            ToHost::Started { .. } => ask::set_ready(true),
            // A tail waits for more events as a caller does for its outcome.
            ToHost::Call { .. } | ToHost::TailMore { .. } => self.calls_waiting += 1,
            ToHost::Return { call, .. } => {
                self.calls_unanswered = self.calls_unanswered.saturating_sub(1);
                if let Some(at) = self.own_calls.iter().rposition(|own| own == call) {
                    self.own_calls.remove(at);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Counts calls by what the host sends.
    pub fn heard(&mut self, frame: &ToGuest) {
        match frame {
            ToGuest::Invoke { .. }
            | ToGuest::CallExport { .. }
            | ToGuest::CallAnswer { .. }
            | ToGuest::InvokeActor { .. } => {
                self.calls_unanswered += 1;
            }
            ToGuest::OwnCall { call } => self.own_calls.push(*call),
            // What a rehearsal did does not count.
            ToGuest::Start { .. } => {
                self.queued.clear();
                (self.calls_unanswered, self.calls_waiting) = (0, 0);
                self.own_calls.clear();
                ask::set_ready(false);
            }
            ToGuest::Return { .. } | ToGuest::TailEvents { .. } => {
                self.calls_waiting = self.calls_waiting.saturating_sub(1);
            }
            _ => {}
        }
    }

    /// Calls wait for this guest, and it waits for no timer and for no call but into itself: if nothing
    /// else will wake it, they will never be answered.
    pub fn seems_hung(&self) -> bool {
        self.calls_unanswered > 0
            && self.calls_waiting as usize == self.own_calls.len()
            && self.wake_at.is_none()
    }

    /// Sets the next wake; negative or not a number forgets it.
    pub fn wake_in(&mut self, ms: f64) {
        self.wake_at = (ms >= 0.0).then(|| {
            let ahead = Duration::try_from_secs_f64(ms / 1000.0).unwrap_or(WAKE_AHEAD_MAX);
            Instant::now() + ahead.min(WAKE_AHEAD_MAX)
        });
    }
}

impl HasOps for GuestState {
    fn ops(&mut self) -> &mut OpsState {
        &mut self.ops
    }
}

/// Whether a frame may go before calls that the same job made.
fn overtakes(frame: &ToHost) -> bool {
    !matches!(
        frame,
        ToHost::Call { .. }
            | ToHost::Acting { .. }
            | ToHost::Return { .. }
            | ToHost::Done { .. }
            | ToHost::ReleaseCap { .. }
            | ToHost::Restored { .. }
    )
}

/// What a call's frame takes at most.
fn bytes_of_call(frame: &ToHost) -> usize {
    match frame {
        ToHost::Call {
            event: Event::Rpc { path, args },
            ..
        } => {
            let names: usize = path.iter().map(|name| name.len() + NAME_HEAD_BYTES).sum();
            names + args.as_ref().map_or(0, |args| args.bytes.0.len()) + CALL_HEAD_BYTES
        }
        _ => 0,
    }
}

/// Whether the guest made itself a slot with this frame.
fn introduces_cap(frame: &ToHost) -> bool {
    match frame {
        ToHost::Call { result, .. } => result.is_some(),
        ToHost::Load { .. }
        | ToHost::Get { .. }
        | ToHost::GetEntrypoint { .. }
        | ToHost::GetSelf { .. }
        | ToHost::GetActor { .. }
        | ToHost::GetClass { .. }
        | ToHost::GetSelfClass { .. }
        | ToHost::GetFacet { .. }
        | ToHost::GetCaches { .. }
        | ToHost::Restored { .. }
        | ToHost::DupCap { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mayfly_wire::{Blob, LogLevel, LogValues, Payload, write_frame};
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    /// A state with a socket, and the other end of it.
    fn connected() -> (GuestState, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let socket = Arc::new(File::from(OwnedFd::from(near)));
        let mut state = GuestState::default();
        state.output.connect(Arc::clone(&socket), None);
        state.input = Some(Input::new(socket, None));
        (state, far)
    }

    fn call(number: u32) -> ToHost {
        ToHost::Call {
            call: CallId(number),
            cap: CapId(2),
            event: Event::Rpc {
                path: vec!["add".to_owned()],
                args: Some(Payload {
                    bytes: Blob(vec![7; 3]),
                    attachments: Vec::new(),
                }),
            },
            result: None,
        }
    }

    fn with_result(mut frame: ToHost, slot: u32) -> ToHost {
        if let ToHost::Call { result, .. } = &mut frame {
            *result = Some(CapId(slot));
        }
        frame
    }

    fn log(text: &str) -> ToHost {
        ToHost::Log {
            call: None,
            level: LogLevel::Log {},
            text: text.to_owned(),
            values: LogValues::Text {},
        }
    }

    /// All that was sent is this.
    fn assert_sent(mut state: GuestState, mut far: UnixStream, frames: &[ToHost]) {
        state.output.flush_all();
        drop(state);
        let mut wanted = Vec::new();
        for frame in frames {
            write_frame(frame, &mut wanted);
        }
        let mut sent = Vec::new();
        far.read_to_end(&mut sent).unwrap();
        assert!(sent == wanted);
    }

    #[test]
    fn a_call_that_waits_can_be_given_a_slot_for_its_result() {
        let (mut state, far) = connected();
        state.queue_call(call(1)).unwrap();
        state.queue_call(call(2)).unwrap();
        assert!(state.result_of_queued(CallId(1), CapId(5)));
        assert!(!state.result_of_queued(CallId(3), CapId(7)));
        state.storage_settled();
        assert!(!state.result_of_queued(CallId(2), CapId(9)));
        assert_eq!(state.calls_waiting, 2);
        assert!(state.holds_new_caps);
        assert_sent(state, far, &[with_result(call(1), 5), call(2)]);
    }

    #[test]
    fn what_must_not_overtake_a_call_sends_it_first() {
        let (mut state, far) = connected();
        let release = ToHost::ReleaseCap { cap: CapId(2) };
        let from = ToHost::CallFrom {
            made: CallId(2),
            call: CallId(9),
            span: 1,
        };
        state.queue_call(call(1)).unwrap();
        state.send(&log("a line may")).unwrap();
        state.send(&from).unwrap();
        state.queue_call(call(2)).unwrap();
        state.send(&log("another")).unwrap();
        state.send(&release).unwrap();
        state.queue_call(call(3)).unwrap();
        state.send_queued();
        let frames = [
            log("a line may"),
            log("another"),
            call(1),
            from,
            call(2),
            release,
            call(3),
        ];
        assert_sent(state, far, &frames);
    }

    #[test]
    fn calls_that_wait_are_bounded() {
        let (mut state, mut far) = connected();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            far.read_to_end(&mut all).unwrap();
            all.len()
        });
        let large = || {
            let mut frame = call(1);
            if let ToHost::Call {
                event: Event::Rpc { args, .. },
                ..
            } = &mut frame
            {
                *args = Some(Payload {
                    bytes: Blob(vec![1; OUT_BYTES_MAX / 2]),
                    attachments: Vec::new(),
                });
            }
            frame
        };
        for _ in 0..8 {
            state.queue_call(large()).unwrap();
            assert!(state.queued_bytes <= 2 * OUT_BYTES_MAX);
        }
        state.send_queued();
        state.output.flush_all();
        drop(state);
        assert!(reader.join().unwrap() > 4 * OUT_BYTES_MAX);

        let mut frame = call(1);
        if let ToHost::Call {
            event: Event::Rpc { path, .. },
            ..
        } = &mut frame
        {
            path[0] = "n".repeat(FRAME_BYTES_MAX);
        }
        let error = connected().0.queue_call(frame).unwrap_err();
        assert_eq!(error.class, "RangeError");
    }

    #[test]
    fn a_zygote_queues_no_call() {
        let mut state = GuestState::default();
        assert!(state.queue_call(call(1)).is_err());
        assert!(state.queued.is_empty());
    }

    #[test]
    fn a_wake_is_bounded_and_can_be_forgotten() {
        let mut state = GuestState::default();
        for far in [1e300, f64::INFINITY] {
            state.wake_in(far);
            let at = state.wake_at.unwrap();
            assert!(at <= Instant::now() + WAKE_AHEAD_MAX, "{far}");
        }
        for none in [-1.0, f64::NAN] {
            state.wake_in(none);
            assert_eq!(state.wake_at, None, "{none}");
        }
    }
}
