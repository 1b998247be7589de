//! Which dynamic Workers one guest's calls are at, and the calls that wait until there are fewer.
//!
//! A parent that calls a thousand Workers at once would take a thousand processes. So it has only so
//! many distinct ones at work for each invocation under way; calls to further ones wait in order.
//! Calls to a Worker that is at work already never wait here.
//!
//! Invariant: a call waits here at most until another of the same guest ends.

use crate::bounds::WORKERS_QUEUE_MAX;
use crate::budget;
use crate::call::Call;
use crate::capability::{Capability, ServiceCap};
use crate::guest::Guest;
use crate::held::HeldEvent;
use crate::relay::route;
use crate::turn::Turn;
use crate::worker::WorkerId;
use mayfly_wire::{Failure, FailureKind};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// See the file's head.
#[derive(Default)]
pub struct Abroad {
    /// Distinct dynamic Workers for one invocation; 0 means that nothing was said.
    pub workers_max: usize,
    at: HashMap<WorkerId, usize>,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    call: Arc<Call>,
    service: Arc<ServiceCap>,
    event: HeldEvent,
}

/// What becomes of a call.
pub enum Turnout {
    /// It goes on its way.
    Goes(HeldEvent),
    /// It waits.
    Waits,
    /// Too many wait.
    Refused(Failure),
}

impl Abroad {
    /// Counts a call to a dynamic Worker, or lets it wait. `invocations` are under way in the guest.
    pub fn admit(
        &mut self,
        call: &Arc<Call>,
        service: &Arc<ServiceCap>,
        event: HeldEvent,
        invocations: usize,
    ) -> Turnout {
        if self.waiting.is_empty() && self.enter(call, service, invocations) {
            return Turnout::Goes(event);
        }
        if self.at.contains_key(&service.worker.id) && self.enter(call, service, invocations) {
            return Turnout::Goes(event);
        }
        if self.waiting.len() >= WORKERS_QUEUE_MAX {
            let used = self.at.len() as u64;
            return Turnout::Refused(budget::count(
                FailureKind::Overloaded {},
                budget::CONCURRENCY,
                "Too many calls wait for a dynamic Worker's turn.",
                used + self.waiting.len() as u64,
                self.limit(invocations) as u64 + WORKERS_QUEUE_MAX as u64,
            ));
        }
        self.waiting.push_back(Waiting {
            call: call.clone(),
            service: service.clone(),
            event,
        });
        Turnout::Waits
    }

    fn limit(&self, invocations: usize) -> usize {
        match self.workers_max {
            0 => usize::MAX,
            max => max.saturating_mul(invocations.max(1)),
        }
    }

    fn enter(&mut self, call: &Arc<Call>, service: &ServiceCap, invocations: usize) -> bool {
        let id = service.worker.id;
        let room = self.at.len() < self.limit(invocations);
        if !room && !self.at.contains_key(&id) {
            return false;
        }
        *self.at.entry(id).or_default() += 1;
        call.is_abroad_at(id);
        true
    }

    /// A counted call is over. `true` where calls wait that may go now.
    pub fn leave(&mut self, worker: WorkerId) -> bool {
        if let Some(count) = self.at.get_mut(&worker) {
            *count -= 1;
            if *count == 0 {
                self.at.remove(&worker);
            }
        }
        !self.waiting.is_empty()
    }

    fn next(&mut self, invocations: usize) -> Option<Waiting> {
        while let Some(waiting) = self.waiting.pop_front() {
            if waiting.call.is_settled() {
                continue;
            }
            if self.enter(&waiting.call, &waiting.service, invocations) {
                return Some(waiting);
            }
            self.waiting.push_front(waiting);
            break;
        }
        None
    }
}

/// Sends off the calls whose turn has come. The caller holds no lock.
pub fn resume(turn: &mut Turn, guest: &Arc<Guest>) {
    loop {
        let next = {
            let mut state = guest.lock();
            let invocations = state.calls_in.len();
            state.abroad.next(invocations)
        };
        let Some(Waiting {
            call,
            service,
            event,
        }) = next
        else {
            return;
        };
        route(
            turn,
            &guest.hub,
            &call,
            &Capability::Service(service),
            event,
        );
        turn.breathe();
    }
}
