//! Durable Objects with made-up guests: what leaves when, who may ask whose storage, one instance at a
//! time, and what liars hear.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod fake;

use fake::*;
use mayfly_store::{Namespace, ObjectId, Store};
use mayfly_supervisor::turn::Turn;
use mayfly_supervisor::{BindingDefinition, Options, gate};
use mayfly_wire::*;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const CLASS: &str = "Room";

/// A world with a Worker `front` that binds the class of a Worker `rooms`.
struct Rooms {
    world: World,
    namespace: Namespace,
}

impl Rooms {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Options)) -> Self {
        let store = Store::ephemeral().unwrap();
        let namespace = store.make_namespace("rooms", CLASS, true).unwrap();
        let mut options = options();
        options.store = Some(store);
        change(&mut options);
        let world = World::with(options);
        let binding = BindingDefinition::Actors {
            worker: "rooms".to_owned(),
            class: CLASS.to_owned(),
        };
        let mut rooms = worker("rooms", vec![]);
        rooms.actors = vec![(CLASS.to_owned(), namespace.clone())];
        world.deploy(vec![worker("front", vec![("ROOM", binding)]), rooms]);
        Self { world, namespace }
    }

    /// The front's guest, with an invocation under way, and the slot of the namespace.
    async fn front(&mut self) -> (FakeGuest, CapId) {
        drop(self.world.fetch("front"));
        let (mut front, start) = self.world.started().await;
        front.invoke().await;
        let Env::Bindings { bindings } = start.env else {
            panic!("no bindings");
        };
        match &bindings[0].1 {
            Binding::Actors { namespace } => {
                assert_eq!(namespace.key.0, self.namespace.key);
                (front, namespace.cap)
            }
            other => panic!("no namespace: {other:?}"),
        }
    }

    fn id(&self, name: &str) -> Blob {
        let hex = ObjectId::of_name(name, &self.namespace.key).hex();
        let byte = |index: usize| u8::from_str_radix(&hex[index * 2..index * 2 + 2], 16).unwrap();
        Blob((0..32).map(byte).collect())
    }

    /// Calls an object by its name; `number` is the call's and makes the stub's slot.
    async fn call(&self, front: &mut FakeGuest, namespace: CapId, name: &str, number: u32) {
        let stub = CapId(1001 + 2 * number);
        front
            .send_all(&[
                ToHost::GetActor {
                    stub,
                    namespace,
                    id: self.id(name),
                    name: Some(name.to_owned()),
                },
                ToHost::Call {
                    call: CallId(number),
                    cap: stub,
                    event: rpc_event("x"),
                    result: None,
                },
            ])
            .await;
    }
}

async fn started_actor(guest: &mut FakeGuest) -> (ActorId, ActorStart) {
    match guest.recv().await {
        ToGuest::StartActor { actor, start } => (actor, *start),
        other => panic!("expected StartActor, got {other:?}"),
    }
}

async fn invoked_actor(guest: &mut FakeGuest) -> (CallId, ActorId) {
    loop {
        match guest.recv().await {
            ToGuest::InvokeActor { call, actor, .. } => return (call, actor),
            // Nobody pipelines on these calls.
            ToGuest::ReleaseAnswer { .. } => {}
            other => panic!("expected InvokeActor, got {other:?}"),
        }
    }
}

async fn ask(guest: &mut FakeGuest, actor: ActorId, request: StorageRequest) -> StorageReply {
    guest.send(ToHost::Storage { actor, request }).await;
    loop {
        match guest.recv().await {
            ToGuest::StorageReply { reply } => return reply,
            ToGuest::ReleaseAnswer { .. } => {}
            other => panic!("expected StorageReply, got {other:?}"),
        }
    }
}

fn put(key: &str) -> StorageRequest {
    StorageRequest::Put {
        entries: vec![(key.to_owned(), Blob(vec![1]))],
    }
}

fn get(key: &str) -> StorageRequest {
    StorageRequest::Get {
        keys: vec![key.to_owned()],
    }
}

fn done(call: CallId) -> [ToHost; 2] {
    let outcome = Outcome::Value {
        payload: Payload::empty(),
    };
    [ToHost::Return { call, outcome }, ToHost::Done { call }]
}

fn is_there(reply: &StorageReply) -> bool {
    matches!(&reply.result, StorageResult::Values { values } if values[0].is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_waits_for_the_end_of_the_turn_that_wrote() {
    let mut rooms = Rooms::new();
    let (mut front, namespace) = rooms.front().await;
    rooms.call(&mut front, namespace, "a", 1).await;
    let (mut guest, _) = rooms.world.started().await;
    let (actor, start) = started_actor(&mut guest).await;
    assert_eq!(
        (start.class.as_str(), start.name.as_deref()),
        (CLASS, Some("a"))
    );
    let (call, target) = invoked_actor(&mut guest).await;
    assert_eq!(target, actor);
    assert!(ask(&mut guest, actor, put("k")).await.open);
    guest.send_all(&done(call)).await;
    front.quiet().await;
    // What it asks meanwhile is answered.
    assert!(is_there(&ask(&mut guest, actor, get("k")).await));
    guest.send(ToHost::Settled {}).await;
    assert!(matches!(
        front.returned().await,
        (CallId(1), Outcome::Value { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_ends_in_the_middle_of_a_turn_wrote_nothing() {
    let mut rooms = Rooms::new();
    let (mut front, namespace) = rooms.front().await;
    rooms.call(&mut front, namespace, "a", 1).await;
    let (mut guest, _) = rooms.world.started().await;
    let (actor, _) = started_actor(&mut guest).await;
    let (call, _) = invoked_actor(&mut guest).await;
    ask(&mut guest, actor, put("k")).await;
    guest.send_all(&done(call)).await;
    drop(guest);
    assert!(matches!(front.returned().await.1, Outcome::Failed { .. }));
    // The next call starts a fresh instance in a fresh guest.
    rooms.call(&mut front, namespace, "a", 2).await;
    let (mut guest, _) = rooms.world.started().await;
    let (actor, _) = started_actor(&mut guest).await;
    invoked_actor(&mut guest).await;
    assert!(!is_there(&ask(&mut guest, actor, get("k")).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_breaks_takes_its_turn_and_its_answers_back() {
    let mut rooms = Rooms::new();
    let (mut front, namespace) = rooms.front().await;
    rooms.call(&mut front, namespace, "a", 1).await;
    let (mut guest, _) = rooms.world.started().await;
    let (actor, _) = started_actor(&mut guest).await;
    let (call, _) = invoked_actor(&mut guest).await;
    ask(&mut guest, actor, put("k")).await;
    guest.send_all(&done(call)).await;
    let failure = Failure::new(FailureKind::Exception {}, "Error", "broken");
    guest
        .send_all(&[ToHost::ActorBroken { actor, failure }, ToHost::Settled {}])
        .await;
    match front.returned().await.1 {
        Outcome::Failed { failure } => assert_eq!(failure.message, "broken"),
        other => panic!("{other:?}"),
    }
    // The same stub fails as the instance did; a fresh one meets a fresh instance, in the same guest.
    let again = ToHost::Call {
        call: CallId(2),
        cap: CapId(1003),
        event: rpc_event("x"),
        result: None,
    };
    front.send(again).await;
    assert!(matches!(front.returned().await.1, Outcome::Failed { .. }));
    rooms.call(&mut front, namespace, "a", 3).await;
    let (next, _) = started_actor(&mut guest).await;
    assert_ne!(next, actor);
    invoked_actor(&mut guest).await;
    assert!(!is_there(&ask(&mut guest, next, get("k")).await));
    // The one that broke has no storage any more.
    let late = ask(&mut guest, actor, put("late")).await;
    assert!(matches!(late.result, StorageResult::Failed { .. }));
    assert!(guest.is_alive());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_objects_of_one_guest_never_meet() {
    let mut rooms = Rooms::new();
    let (mut front, namespace) = rooms.front().await;
    rooms.call(&mut front, namespace, "a", 1).await;
    let (mut guest, _) = rooms.world.started().await;
    let (a, _) = started_actor(&mut guest).await;
    invoked_actor(&mut guest).await;
    rooms.call(&mut front, namespace, "b", 2).await;
    loop {
        match guest.recv().await {
            ToGuest::StartActor { actor: b, .. } => {
                invoked_actor(&mut guest).await;
                ask(&mut guest, a, put("k")).await;
                guest.send(ToHost::Settled {}).await;
                assert!(!is_there(&ask(&mut guest, b, get("k")).await));
                return;
            }
            ToGuest::ReleaseAnswer { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_instance_and_no_id_is_refused_and_the_guest_lives() {
    let mut rooms = Rooms::new();
    let (mut front, namespace) = rooms.front().await;
    let reply = ask(&mut front, ActorId(7), StorageRequest::Size {}).await;
    assert!(matches!(reply.result, StorageResult::Failed { .. }));
    let failure = Failure::new(FailureKind::Exception {}, "Error", "x");
    front
        .send_all(&[
            ToHost::Settled {},
            ToHost::ActorBroken {
                actor: ActorId(7),
                failure: failure.clone(),
            },
            ToHost::AbortFacet {
                actor: ActorId(7),
                name: "f".to_owned(),
                failure,
            },
            ToHost::DeleteFacet {
                actor: ActorId(7),
                name: "../f".to_owned(),
            },
        ])
        .await;
    for (number, id) in [(1, vec![]), (2, vec![0; 32]), (3, vec![255; 33])] {
        let stub = CapId(2001 + 2 * number);
        front
            .send_all(&[
                ToHost::GetActor {
                    stub,
                    namespace,
                    id: Blob(id),
                    name: None,
                },
                ToHost::Call {
                    call: CallId(number),
                    cap: stub,
                    event: rpc_event("x"),
                    result: None,
                },
            ])
            .await;
        match front.returned().await.1 {
            Outcome::Failed { failure } => assert_eq!(failure.name, "TypeError"),
            other => panic!("{other:?}"),
        }
    }
    assert!(front.is_alive());
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_about_namespaces_and_classes_end_their_guest() {
    let props = Payload::empty;
    let lies: [(&str, ToHost); 5] = [
        (
            "a namespace never given",
            ToHost::GetActor {
                stub: CapId(1),
                namespace: CapId(40),
                id: Blob(vec![0; 32]),
                name: None,
            },
        ),
        (
            "a class of a namespace",
            ToHost::GetClass {
                class: CapId(1),
                worker: CapId(2),
                name: None,
                props: props(),
            },
        ),
        (
            "calling a namespace",
            ToHost::Call {
                call: CallId(1),
                cap: CapId(2),
                event: rpc_event("x"),
                result: None,
            },
        ),
        (
            "a facet's class for a request",
            ToHost::Return {
                call: CallId(1),
                outcome: Outcome::Facet {
                    class: CapId(2),
                    id: None,
                },
            },
        ),
        (
            "an even slot",
            ToHost::GetSelfClass {
                class: CapId(44),
                name: CLASS.to_owned(),
                props: props(),
            },
        ),
    ];
    for (what, lie) in lies {
        let mut rooms = Rooms::new();
        let (mut front, namespace) = rooms.front().await;
        assert_eq!(namespace, CapId(2), "{what}");
        front.send(lie).await;
        front.is_killed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_goes_to_its_object_and_is_over_when_it_is_done() {
    let mut rooms = Rooms::new();
    let (mut front, namespace) = rooms.front().await;
    rooms.call(&mut front, namespace, "a", 1).await;
    let (mut guest, _) = rooms.world.started().await;
    let (actor, _) = started_actor(&mut guest).await;
    let (call, _) = invoked_actor(&mut guest).await;
    let set = StorageRequest::SetAlarm { time_ms: Some(1.0) };
    ask(&mut guest, actor, set).await;
    guest.send_all(&done(call)).await;
    guest.send(ToHost::Settled {}).await;
    let call = loop {
        match guest.recv().await {
            ToGuest::InvokeActor { call, event, .. } => {
                assert!(
                    matches!(event, Event::Alarm { retries: 0, .. }),
                    "{event:?}"
                );
                break call;
            }
            ToGuest::ReleaseAnswer { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    let alarm = |reply: StorageReply| match reply.result {
        StorageResult::Time { time_ms } => time_ms,
        other => panic!("{other:?}"),
    };
    // While its handler runs there is none.
    assert_eq!(
        alarm(ask(&mut guest, actor, StorageRequest::GetAlarm {}).await),
        None
    );
    let outcome = Outcome::Nothing { no_retry: false };
    guest
        .send_all(&[ToHost::Return { call, outcome }, ToHost::Done { call }])
        .await;
    guest.quiet().await;
    assert_eq!(
        alarm(ask(&mut guest, actor, StorageRequest::GetAlarm {}).await),
        None
    );
}

/// What it said is held until its turn is over, and above a bound its socket is not read: its end is heard
/// all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_is_not_read_any_more_can_still_be_seen_to_end() {
    let mut rooms = Rooms::new();
    let (mut front, namespace) = rooms.front().await;
    rooms.call(&mut front, namespace, "a", 1).await;
    let (mut guest, _) = rooms.world.started().await;
    let (actor, _) = started_actor(&mut guest).await;
    invoked_actor(&mut guest).await;
    ask(&mut guest, actor, put("k")).await;
    let mut bytes = Vec::new();
    let line = ToHost::Log {
        call: None,
        level: LogLevel::Log {},
        text: "x".repeat(64 * 1024),
        values: LogValues::Text {},
    };
    write_frame(&line, &mut bytes);
    let flood = async {
        for _ in 0..1000 {
            guest.stream.write_all(&bytes).await.unwrap();
        }
    };
    let stopped = tokio::time::timeout(Duration::from_millis(500), flood).await;
    assert!(stopped.is_err(), "the host reads whatever comes");
    drop(guest);
    assert!(matches!(front.returned().await.1, Outcome::Failed { .. }));
}

/// A query that goes on for ever is charged to whoever asked it, and keeps nobody else waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_query_is_its_workers_cpu_time() {
    let mut rooms = Rooms::with(|options| options.cpu_max = Some(Duration::from_millis(30)));
    let (mut front, namespace) = rooms.front().await;
    rooms.call(&mut front, namespace, "a", 1).await;
    let (mut guest, _) = rooms.world.started().await;
    let (actor, _) = started_actor(&mut guest).await;
    invoked_actor(&mut guest).await;
    let endless = StorageRequest::Exec {
        sql: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
              SELECT max(i) FROM n"
            .to_owned(),
        bindings: Vec::new(),
    };
    let began = std::time::Instant::now();
    guest
        .send(ToHost::Storage {
            actor,
            request: endless,
        })
        .await;
    match front.returned().await.1 {
        Outcome::Failed { failure } => assert_eq!(failure.kind, FailureKind::ExceededCpu {}),
        other => panic!("{other:?}"),
    }
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    guest.is_killed().await;
}

/// Frames about objects in any order, with numbers that are often wrong: the tables never break, and every
/// caller has an outcome in the end.
#[tokio::test(flavor = "multi_thread")]
async fn random_frames_about_objects_never_break_the_tables() {
    for seed in 1..40_u64 {
        let mut rooms = Rooms::new();
        let waiting = rooms.world.fetch("front");
        let (mut front, start) = rooms.world.started().await;
        front.invoke().await;
        let Env::Bindings { bindings } = start.env else {
            panic!("no bindings");
        };
        let Binding::Actors { namespace } = &bindings[0].1 else {
            panic!("no namespace");
        };
        let namespace = namespace.cap;
        rooms.call(&mut front, namespace, "a", 1).await;
        let (mut guest, _) = rooms.world.started().await;
        let (actor, _) = started_actor(&mut guest).await;
        invoked_actor(&mut guest).await;
        let mut chance = seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
        let mut below = |limit: u32| {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            u32::try_from(chance % u64::from(limit)).unwrap()
        };
        for _ in 0..300 {
            let number = ActorId(below(2) * actor.0 + below(3));
            let slot = CapId(below(30) * 2 + 1);
            let name = format!("f{}", below(3));
            let failure = Failure::new(FailureKind::Exception {}, "Error", "x");
            let frame = match below(14) {
                0 => ToHost::Storage {
                    actor: number,
                    request: put("k"),
                },
                1 => ToHost::Storage {
                    actor: number,
                    request: StorageRequest::Begin {},
                },
                2 => ToHost::Storage {
                    actor: number,
                    request: StorageRequest::Rollback {},
                },
                3 => ToHost::Settled {},
                4 => ToHost::ActorBroken {
                    actor: number,
                    failure,
                },
                5 => ToHost::AbortFacet {
                    actor: number,
                    name,
                    failure,
                },
                6 => ToHost::DeleteFacet {
                    actor: number,
                    name,
                },
                7 => ToHost::GetFacet {
                    stub: slot,
                    actor: number,
                    name,
                    start: ExportId(below(4)),
                },
                8 => ToHost::GetSelfClass {
                    class: slot,
                    name: CLASS.to_owned(),
                    props: Payload::empty(),
                },
                9 => ToHost::GetActor {
                    stub: slot,
                    namespace: if below(2) == 0 { namespace } else { slot },
                    id: rooms.id(&name),
                    name: None,
                },
                10 => ToHost::Call {
                    call: CallId(below(4000)),
                    cap: slot,
                    event: rpc_event("x"),
                    result: None,
                },
                11 => ToHost::Restored {
                    slot: CapId(2 * below(8) + 1),
                    call: CallId(below(4)),
                    actor: (below(2) == 0).then_some(number),
                    entrypoint: name,
                    props: Payload::empty(),
                    args: Payload::empty(),
                    target: Attachment::Cap {
                        cap: slot,
                        kind: CapKind::Service {},
                    },
                },
                12 => ToHost::Return {
                    call: CallId(below(8)),
                    outcome: Outcome::Restored {
                        target: Attachment::Export {
                            export: ExportId(below(4)),
                        },
                    },
                },
                _ => ToHost::ReleaseCap { cap: slot },
            };
            let who = if below(2) == 0 { &front } else { &guest };
            let mut turn = Turn::new();
            // Most are lies; ending the guest at the first would test little.
            if let Err(violation) = gate::pass(&who.guest, frame, 16, &mut turn) {
                drop(turn);
                let _ = violation.to_string();
            }
        }
        drop((front, guest));
        within(rooms.world.supervisor.shutdown(Duration::ZERO)).await;
        let _ = within(waiting).await.unwrap();
    }
}
