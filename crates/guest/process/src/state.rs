//! What ops get to see: the state behind the engine of one guest.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use mayfly_engine::data::OpError;
use mayfly_ops::{HasOps, OpsState};
use mayfly_sandbox::ask;
use mayfly_sandbox::fork::exit_now;
use mayfly_wire::{ActorId, CallId, StorageReply, StorageRequest, ToGuest, ToHost, WireError};

use crate::exit;
use crate::input::{Arrival, Input};
use crate::output::Output;

/// Farthest a wake may lie ahead. JavaScript's timers end at 2^31 ms, below it.
const WAKE_AHEAD_MAX: Duration = Duration::from_secs(60 * 24 * 60 * 60);

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
    /// Something was written to storage in this turn: the host waits for its end.
    storage_open: bool,
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

    /// Looks for something to read until then, without sleeping.
    pub fn read_awake(&mut self, until: Instant) -> io::Result<Arrival> {
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
                Ok(Some(frame)) => self.early.push_back(frame),
                Ok(None) => self.wait_for_more(),
                Err(_) => exit_now(exit::PROTOCOL),
            }
        }
    }

    fn wait_for_more(&mut self) {
        let arrived = match &mut self.input {
            Some(input) => input.wait(),
            None => exit_now(exit::SYSTEM),
        };
        match arrived {
            Ok(Arrival::Some | Arrival::None) => {}
            Ok(Arrival::End) => exit_now(exit::DONE),
            Err(_) => exit_now(exit::SYSTEM),
        }
    }

    /// The turn is over: says so where the host waits for it.
    pub fn storage_settled(&mut self) {
        if std::mem::take(&mut self.storage_open) && self.output.push(&ToHost::Settled {}).is_err()
        {
            exit_now(exit::SYSTEM);
        }
    }

    /// Queues one frame. Those of a rehearsal change nothing that outlives it.
    pub fn send(&mut self, frame: &ToHost) -> Result<(), OpError> {
        self.send_message(frame, Vec::new())
    }

    /// The same with what goes beside its payload.
    pub fn send_message(&mut self, frame: &ToHost, beside: Vec<Vec<u8>>) -> Result<(), OpError> {
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

    /// No call is under way here, and all that was to be said is out.
    pub fn is_idle(&self) -> bool {
        self.calls_unanswered == 0 && !self.output.is_pending()
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
