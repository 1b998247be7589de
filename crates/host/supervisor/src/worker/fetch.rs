//! The code of a Worker of `get(id, callback)`: asked for when it is needed, once for all who wait.

use super::{Phase, Worker};
use crate::bounds::LOADER_DEPTH_MAX;
use crate::call::{Call, Caller, Target, deliver};
use crate::capability::ObjectCap;
use crate::code;
use crate::held::{HeldEvent, HeldOutcome};
use crate::turn::Turn;
use mayfly_wire::{Failure, FailureKind};
use std::sync::Arc;

impl Worker {
    /// Asks `callback` for the code if this Worker has none and does not run. The code waits for the
    /// first call.
    pub(crate) fn fetch_code(self: &Arc<Self>, turn: &mut Turn, callback: &Arc<ObjectCap>) {
        {
            let mut state = self.state.lock();
            let idle = matches!(state.phase, Phase::Cold) && state.code.is_none();
            if !idle || state.released || self.depth > LOADER_DEPTH_MAX {
                return;
            }
            state.phase = Phase::Loading(Vec::new());
        }
        self.ask_for_code(turn, callback);
    }

    pub(super) fn ask_for_code(self: &Arc<Self>, turn: &mut Turn, callback: &Arc<ObjectCap>) {
        let call = Call::new(Caller::Load(self.clone()), false);
        let target = Target::Export(callback.export);
        let event = HeldEvent::LoadCode;
        if deliver(turn, &callback.guest, target, &call, event, None).is_err() {
            call.fail(turn, callback.guest.lost());
        }
    }

    /// The callback answered.
    pub(crate) fn code_arrived(self: &Arc<Self>, turn: &mut Turn, outcome: HeldOutcome) {
        let code = match outcome {
            HeldOutcome::Code(code) => code::check(&self.hub.options, *code),
            HeldOutcome::Failed(failure) => Err(failure),
            HeldOutcome::Response { .. }
            | HeldOutcome::Value(_)
            | HeldOutcome::Connected { .. }
            | HeldOutcome::Nothing { .. }
            | HeldOutcome::Facet { .. }
            | HeldOutcome::Restored { .. } => {
                let message = "the loader's callback did not give code";
                Err(Failure::new(
                    FailureKind::Exception {},
                    "TypeError",
                    message,
                ))
            }
        };
        let mut state = self.state.lock();
        let waiting = match std::mem::replace(&mut state.phase, Phase::Cold) {
            Phase::Loading(waiting) => waiting,
            // Released meanwhile.
            other => {
                state.phase = other;
                return;
            }
        };
        match code {
            Ok(code) => {
                self.note_flag(&code);
                state.set_code(Arc::new(code));
                if !waiting.is_empty() {
                    self.fork(turn, state, waiting);
                }
            }
            Err(failure) => {
                drop(state);
                for pending in waiting {
                    pending.call.fail(turn, failure.clone());
                }
            }
        }
    }
}
