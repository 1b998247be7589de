//! A guest becomes a Worker: from the pool's answer to `Start` and the calls that waited, in one write.

use super::{Locked, Origin, PendingInvoke, Phase, Worker};
use crate::actor::Namespace;
use crate::capability::{Capability, LoaderCap, Scope};
use crate::code::{Code, CodeEnv, HeldBinding};
use crate::ending::EndReason;
use crate::guest::Guest;
use crate::policy::Caps;
use crate::pool::Taken;
use crate::translate::Lower;
use crate::turn::Turn;
use crate::usage::code_hash;
use mayfly_wire::{ActorNamespace, Binding, Blob, Failure, Payload, Wire};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Worker {
    pub(super) fn fork(
        self: &Arc<Self>,
        turn: &mut Turn,
        mut state: Locked<'_>,
        waiting: Vec<PendingInvoke>,
    ) {
        let code = state.code.as_ref();
        let jitless = self.policy.jitless || code.is_some_and(|code| code.jitless);
        let pool = self.hub.pool_of(jitless);
        match pool.take(self) {
            Taken::Guest(guest) => self.start(turn, state, &guest, waiting),
            Taken::Queued => {
                state.phase = Phase::Forking(waiting);
                if pool.is_full() {
                    self.hub.crowded.notify_one();
                }
            }
            Taken::Refused(failure) => {
                state.phase = Phase::Cold;
                drop(state);
                for pending in waiting {
                    pending.call.fail(turn, failure.clone());
                }
            }
        }
    }

    /// The guest that was asked for. Given back where nobody waits for it any more.
    pub(crate) fn adopt(self: &Arc<Self>, turn: &mut Turn, guest: Arc<Guest>) {
        let mut state = self.state.lock();
        match std::mem::replace(&mut state.phase, Phase::Cold) {
            Phase::Forking(waiting) => self.start(turn, state, &guest, waiting),
            other => {
                state.phase = other;
                drop(state);
                self.hub.pool_of(guest.jitless).put_back(turn, guest);
            }
        }
    }

    /// No guest will come.
    pub(crate) fn refuse(self: &Arc<Self>, turn: &mut Turn, failure: &Failure) {
        let waiting = {
            let mut state = self.state.lock();
            match std::mem::replace(&mut state.phase, Phase::Cold) {
                Phase::Forking(waiting) => waiting,
                other => {
                    state.phase = other;
                    return;
                }
            }
        };
        for pending in waiting {
            pending.call.fail(turn, failure.clone());
        }
    }

    fn start(
        self: &Arc<Self>,
        turn: &mut Turn,
        mut state: Locked<'_>,
        guest: &Arc<Guest>,
        waiting: Vec<PendingInvoke>,
    ) {
        let Some(code) = state.code.clone() else {
            state.phase = Phase::Cold;
            drop(state);
            for pending in waiting {
                pending.call.fail(turn, EndReason::Released.failure());
            }
            let pool = self.hub.pool_of(guest.jitless);
            pool.put_back(turn, guest.clone());
            return;
        };
        let caps = state.caps.clone();
        if guest.patient.swap(false, Ordering::Relaxed) {
            guest.process.hurry();
        }
        if !self.send_start(turn, guest, &code, &caps) {
            // It died in the pool: its own affair, so the next one is tried. The pool never gives
            // a guest whose end is known.
            self.fork(turn, state, waiting);
            return;
        }
        if matches!(self.origin, Origin::Named(_) | Origin::Unnamed) {
            state.code = None;
        }
        // In the lock, so that a later call cannot overtake those that waited.
        state.phase = Phase::Live(guest.clone());
        let limits = state.limits.clone();
        let tails = state.tails.clone();
        let mut back = Vec::new();
        for pending in waiting {
            if let Err(pending) = self.deliver(turn, guest, pending, &limits, &caps, &tails) {
                back.push(pending);
            }
        }
        drop(state);
        if guest.end_reason().is_some() {
            self.forget(guest);
        }
        for pending in back {
            pending.call.fail(turn, guest.lost());
        }
        self.hub.guest_started(guest, self);
    }

    /// `false` if the guest has ended.
    fn send_start(
        self: &Arc<Self>,
        turn: &mut Turn,
        guest: &Arc<Guest>,
        code: &Code,
        caps: &Caps,
    ) -> bool {
        let options = &self.hub.options;
        let memory = caps
            .memory_bytes
            .into_iter()
            .chain([options.heap_bytes_max]);
        let memory_max = memory.min().unwrap_or(options.heap_bytes_max);
        let compiled = &self.hub.compiled;
        let compiled = compiled.of(&code.modules, code.keys(), code.bytes(), &self.account);
        let mut attach = Vec::new();
        let mut state = guest.lock();
        if !state.alive {
            return false;
        }
        self.count_start(code);
        state.worker = Some(self.clone());
        // A guest starts once.
        let _ = guest.account.set(self.account.clone());
        state.outbound = code.outbound.clone();
        state.cpu_seen = guest.process.cpu().unwrap_or_default();
        state.starting = Some(state.cpu_seen);
        state.startup_max = caps
            .startup
            .unwrap_or(options.startup_max)
            .min(options.startup_max);
        state.memory_max = memory_max;
        state.abroad.workers_max = caps
            .workers_in_flight
            .map_or(options.workers_in_flight_max, |max| max as usize);
        let mut lower = Lower::new(guest, &mut state, &mut attach);
        let env = match &code.env {
            CodeEnv::Value(payload) => SentEnv::Value(lower.shared(payload)),
            CodeEnv::Bindings(bindings) => {
                SentEnv::Bindings(lower_bindings(guest, &mut lower, bindings))
            }
        };
        let outbound = code.outbound.clone().map(|outbound| lower.cap(outbound));
        let actors: Vec<_> = code
            .actors
            .iter()
            .map(|(class, namespace)| {
                (
                    class.clone(),
                    lower_namespace(&mut lower, namespace, Capability::OwnActors),
                )
            })
            .collect();
        guest.push_raw(&mut state, |out| {
            encode_start(
                out,
                &self.name,
                code,
                &env,
                outbound,
                &actors,
                memory_max,
                options.collect_always,
                &compiled,
            );
        });
        drop(state);
        turn.mark(guest);
        for attachment in attach {
            attachment.attach(turn, guest);
        }
        true
    }

    /// Dynamic Workers are paid for by the day: one of `get()` by id and code, any other each.
    fn count_start(&self, code: &Code) {
        match self.origin {
            Origin::Configured => {}
            Origin::Loaded | Origin::Unnamed => self.account.loaded(),
            Origin::Named(_) if !self.account.is_metered() => {}
            Origin::Named(_) => {
                let hash = code_hash(&code.main_module, &code.modules);
                self.account.started(hash);
            }
        }
    }
}

enum SentEnv {
    Bindings(Vec<(String, Binding)>),
    Value(Payload),
}

fn lower_bindings(
    guest: &Arc<Guest>,
    lower: &mut Lower<'_>,
    bindings: &[(String, HeldBinding)],
) -> Vec<(String, Binding)> {
    bindings
        .iter()
        .map(|(name, binding)| {
            let binding = match binding {
                HeldBinding::Text(text) => Binding::Text { text: text.clone() },
                HeldBinding::Json(json) => Binding::Json { json: json.clone() },
                HeldBinding::Data(bytes) => Binding::Data {
                    bytes: bytes.clone(),
                },
                HeldBinding::Service(capability) => Binding::Service {
                    cap: lower.cap(capability.clone()),
                },
                HeldBinding::Hosted(kind, capability) => Binding::Hosted {
                    cap: lower.cap(capability.clone()),
                    kind: kind.clone(),
                },
                HeldBinding::Actors(namespace) => Binding::Actors {
                    namespace: lower_namespace(lower, namespace, Capability::Actors),
                },
                HeldBinding::Loader { shared, policy } => {
                    let scope = match shared {
                        Some(name) => Scope::Shared(name.clone()),
                        None => Scope::Private {
                            parent: guest.id.0,
                            binding: name.clone(),
                        },
                    };
                    let loader = LoaderCap {
                        scope,
                        binding: name.clone(),
                        policy: policy.clone(),
                    };
                    Binding::Loader {
                        cap: lower.cap(Capability::Loader(Arc::new(loader))),
                    }
                }
            };
            (name.clone(), binding)
        })
        .collect()
}

fn lower_namespace(
    lower: &mut Lower<'_>,
    namespace: &Arc<Namespace>,
    make: fn(Arc<Namespace>) -> Capability,
) -> ActorNamespace {
    ActorNamespace {
        cap: lower.cap(make(namespace.clone())),
        key: Blob(namespace.stored.key.to_vec()),
    }
}

/// Encodes `ToGuest::Start` from borrowed parts, so that up to 64 MiB of modules are copied once.
/// The test below holds it to the wire's own encoding.
#[expect(clippy::too_many_arguments, reason = "each is a field of the frame")]
fn encode_start(
    out: &mut Vec<u8>,
    name: &String,
    code: &Code,
    env: &SentEnv,
    outbound: Option<mayfly_wire::CapId>,
    actors: &Vec<(String, ActorNamespace)>,
    heap_bytes_max: u64,
    collect_always: bool,
    compiled: &[(u32, Arc<[u8]>)],
) {
    const START_TAG: u8 = 1;
    const ENV_BINDINGS_TAG: u8 = 1;
    const ENV_VALUE_TAG: u8 = 2;
    out.push(START_TAG);
    name.encode(out);
    code.modules.encode(out);
    code.main_module.encode(out);
    code.compatibility_flags.encode(out);
    match env {
        SentEnv::Bindings(bindings) => {
            out.push(ENV_BINDINGS_TAG);
            bindings.encode(out);
        }
        SentEnv::Value(payload) => {
            out.push(ENV_VALUE_TAG);
            payload.encode(out);
        }
    }
    outbound.encode(out);
    code.limits.encode(out);
    actors.encode(out);
    heap_bytes_max.encode(out);
    collect_always.encode(out);
    encode_length(compiled.len(), out);
    for (place, bytes) in compiled {
        place.encode(out);
        encode_length(bytes.len(), out);
        out.extend_from_slice(bytes);
    }
}

/// As the wire writes the length of a list and of a blob. Both are bounded below it.
fn encode_length(length: usize, out: &mut Vec<u8>) {
    u32::try_from(length).unwrap_or(u32::MAX).encode(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::held::Weight;
    use mayfly_wire::{CapId, Env, Limits, Module, ModuleKind, Start, ToGuest};
    use std::sync::OnceLock;

    #[test]
    fn start_is_encoded_as_the_wire_would() {
        let modules = vec![Module {
            name: "main.js".to_owned(),
            kind: ModuleKind::Js {},
            content: Blob(b"export default {}".to_vec()),
        }];
        let limits = Limits {
            cpu_ms: Some(50),
            sub_requests: None,
        };
        let code = Code {
            modules: modules.clone(),
            keys: OnceLock::new(),
            weight: Weight::default(),
            main_module: "main.js".to_owned(),
            compatibility_flags: vec!["nodejs_compat".to_owned()],
            env: CodeEnv::Bindings(Vec::new()),
            outbound: None,
            limits: limits.clone(),
            caps: Caps::default(),
            jitless: false,
            tails: Arc::default(),
            actors: Vec::new(),
        };
        let actors = vec![(
            "A".to_owned(),
            ActorNamespace {
                cap: CapId(6),
                key: Blob(vec![1]),
            },
        )];
        let bindings = vec![(
            "NAME".to_owned(),
            Binding::Text {
                text: "value".to_owned(),
            },
        )];
        let envs = [
            (
                SentEnv::Bindings(bindings.clone()),
                Env::Bindings { bindings },
            ),
            (
                SentEnv::Value(Payload::empty()),
                Env::Value {
                    payload: Payload::empty(),
                },
            ),
        ];
        for (sent, env) in envs {
            let mut ours = Vec::new();
            let name = "name".to_owned();
            encode_start(
                &mut ours,
                &name,
                &code,
                &sent,
                Some(CapId(4)),
                &actors,
                9,
                true,
                &[(0, Arc::from([1, 2, 3]))],
            );
            let mut theirs = Vec::new();
            let start = Start {
                name,
                modules: modules.clone(),
                main_module: "main.js".to_owned(),
                compatibility_flags: code.compatibility_flags.clone(),
                env,
                outbound: Some(CapId(4)),
                limits: limits.clone(),
                actors: actors.clone(),
                heap_bytes_max: 9,
                collect_always: true,
                compiled: vec![(0, Blob(vec![1, 2, 3]))],
            };
            ToGuest::Start {
                start: Box::new(start),
            }
            .encode(&mut theirs);
            assert_eq!(ours, theirs);
        }
    }
}
