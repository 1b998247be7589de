//! An event into the guest of its Worker: what it may use, who follows it, and the call itself.

use super::{PendingInvoke, Worker};
use crate::actor::{ActorUse, Entered};
use crate::call::{Target, Undelivered, deliver};
use crate::guest::{Guest, Invocation};
use crate::held::HeldEvent;
use crate::hub::Chore;
use crate::observe::EventKind;
use crate::policy::Caps;
use crate::stored;
use crate::trace::{Begin, Tails, Trace};
use crate::turn::Turn;
use mayfly_wire::Limits;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Worker {
    pub(super) fn deliver(
        self: &Arc<Self>,
        turn: &mut Turn,
        guest: &Arc<Guest>,
        pending: PendingInvoke,
        limits: &Limits,
        caps: &Caps,
        tails: &Arc<Tails>,
    ) -> Result<(), PendingInvoke> {
        let PendingInvoke {
            call,
            service,
            actor,
            event,
            handle,
        } = pending;
        if matches!(event, HeldEvent::Restore { .. }) && !self.has_flag() {
            // It may have had it when the stub was stored.
            call.fail(turn, stored::no_flag_any_more());
            return Ok(());
        }
        let mut attach = Vec::new();
        let entered = match &actor {
            None => None,
            Some(actor) => match actor.enter(self, guest, &service, &mut attach) {
                Entered::Here(incarnation) => Some((actor, incarnation)),
                Entered::Elsewhere => {
                    // Locks are held here.
                    self.hub
                        .chores
                        .post(Chore::Redirect(Box::new(PendingInvoke {
                            call,
                            service,
                            actor: Some(actor.clone()),
                            event,
                            handle,
                        })));
                    return Ok(());
                }
                Entered::Ended => {
                    return Err(PendingInvoke {
                        call,
                        service,
                        actor: Some(actor.clone()),
                        event,
                        handle,
                    });
                }
            },
        };
        turn.mark(guest);
        for attachment in attach {
            attachment.attach(turn, guest);
        }
        let limits = limits.lower(&service.limits);
        let options = &self.hub.options;
        let cpu_max = limits
            .cpu_ms
            .map(|ms| Duration::from_millis(u64::from(ms)))
            .into_iter()
            .chain(options.cpu_max)
            .chain(caps.cpu)
            .min();
        let sub_requests = limits.sub_requests.or(options.sub_requests_max);
        let sub_requests_max = sub_requests.into_iter().chain(caps.sub_requests).min();
        let begin = Begin {
            worker: self,
            tails,
            entrypoint: &service.entrypoint,
            actor: actor.as_deref(),
            event: &event,
            caller: call.from(),
            trace_bytes: &guest.trace_bytes,
        };
        let trace = Trace::begin(&self.hub, &begin);
        let invocation = Invocation {
            handle: handle.clone(),
            entrypoint: service.entrypoint.clone(),
            cpu_max,
            sub_requests_max,
            sub_requests_left: sub_requests_max.map(u64::from),
            wall_max: caps.wall.into_iter().chain(options.wall_max).min(),
            wall_over: None,
            began: Instant::now(),
            outcome: "ok",
            event: EventKind::of(&event),
            trace,
            trace_held: false,
            body: None,
            via: service.via.clone(),
            actor: entered
                .as_ref()
                .map(|(actor, incarnation)| ActorUse::begin(actor, incarnation.serial)),
        };
        let target = match &entered {
            Some((_, incarnation)) => Target::Actor(incarnation.number),
            None => Target::Invoke {
                entrypoint: &service.entrypoint,
                props: &service.props,
            },
        };
        match deliver(
            turn,
            guest,
            target,
            &call,
            event,
            Some(Box::new(invocation)),
        ) {
            Ok(()) => Ok(()),
            Err(Undelivered(event)) => Err(PendingInvoke {
                call,
                service,
                actor: actor.clone(),
                event,
                handle,
            }),
        }
    }
}
