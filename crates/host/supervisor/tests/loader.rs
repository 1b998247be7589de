//! Dynamic Workers between made-up guests: loading, sharing, freeing, evicting.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod fake;

use fake::*;
use mayfly_wire::*;
use std::time::Duration;

const STUB: CapId = CapId(1);
const SERVICE: CapId = CapId(3);

/// A parent with a loader, live, inside an invocation.
async fn parent(world: &mut World) -> (FakeGuest, CapId, CallId) {
    parent_named(world, "p").await
}

async fn parent_named(world: &mut World, name: &str) -> (FakeGuest, CapId, CallId) {
    drop(world.fetch(name));
    let (mut parent, start) = world.started().await;
    let (call, _) = parent.invoke().await;
    let slot = slot(&start, "LOADER");
    (parent, slot, call)
}

fn world_with(options: mayfly_supervisor::Options) -> World {
    let world = World::with(options);
    world.deploy(vec![
        worker("p", vec![("LOADER", loader())]),
        worker("q", vec![("LOADER", loader())]),
    ]);
    world
}

fn world() -> World {
    world_with(options())
}

fn load(loader: CapId, code: WorkerCode) -> ToHost {
    ToHost::Load {
        worker: STUB,
        loader,
        code: Box::new(code),
    }
}

fn get(slot: CapId, loader: CapId, id: &str, callback: u32) -> ToHost {
    ToHost::Get {
        worker: slot,
        loader,
        id: Some(id.to_owned()),
        callback: ExportId(callback),
    }
}

fn entrypoint(service: CapId, worker: CapId) -> ToHost {
    ToHost::GetEntrypoint {
        service,
        worker,
        name: None,
        props: Payload::empty(),
        limits: Limits::NONE,
    }
}

fn call(id: u32, cap: CapId) -> ToHost {
    ToHost::Call {
        call: CallId(id),
        cap,
        event: fetch_event(),
        result: None,
    }
}

fn code_outcome() -> Outcome {
    Outcome::Code {
        code: Box::new(code()),
    }
}

/// The parent is asked for code and gives it.
async fn give_code(parent: &mut FakeGuest, callback: u32, outcome: Outcome) {
    match parent.recv().await {
        ToGuest::CallExport {
            call,
            export,
            event: Event::LoadCode {},
        } => {
            assert_eq!(export, ExportId(callback));
            parent
                .send_all(&[ToHost::Return { call, outcome }, ToHost::Done { call }])
                .await;
        }
        other => panic!("expected LoadCode, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn load_starts_a_worker_with_its_code_at_the_first_call() {
    let mut world = world();
    let (mut parent, loader, _) = parent(&mut world).await;
    parent
        .send_all(&[
            load(loader, code()),
            entrypoint(SERVICE, STUB),
            call(1, SERVICE),
        ])
        .await;
    let (mut child, start) = world.started().await;
    assert_eq!(start.main_module, "main.js");
    assert_eq!(start.modules, vec![module()]);
    assert!(matches!(start.env, Env::Value { .. }));
    // Inherited.
    assert!(start.outbound.is_some());
    let (invoked, _) = child.invoke().await;
    child.answer(invoked, "child").await;
    assert_eq!(parent.returned().await, (CallId(1), response("child")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_stub_keeps_its_worker_until_the_invocation_is_done() {
    let mut world = world();
    let (mut parent, loader, _) = parent(&mut world).await;
    parent
        .send_all(&[
            load(loader, code()),
            entrypoint(SERVICE, STUB),
            ToHost::ReleaseCap { cap: STUB },
            call(1, SERVICE),
            ToHost::ReleaseCap { cap: SERVICE },
        ])
        .await;
    let (mut child, _) = world.started().await;
    let (invoked, _) = child.invoke().await;
    child.quiet().await;
    assert!(child.is_alive());
    child
        .send(ToHost::Return {
            call: invoked,
            outcome: response("x"),
        })
        .await;
    parent.returned().await;
    child.quiet().await;
    assert!(child.is_alive(), "waitUntil may still run");
    child.send(ToHost::Done { call: invoked }).await;
    child.is_killed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_callers_share_one_load() {
    let mut world = world();
    let (mut parent, loader, _) = parent(&mut world).await;
    let mut frames = Vec::new();
    for index in 0..100 {
        let stub = CapId(index * 4 + 1);
        let service = CapId(index * 4 + 3);
        frames.push(get(stub, loader, "one", 10 + index));
        frames.push(entrypoint(service, stub));
        frames.push(call(index + 1, service));
    }
    parent.send_all(&frames).await;
    give_code(&mut parent, 10, code_outcome()).await;
    let (mut child, _) = world.started().await;
    for _ in 0..100 {
        let (invoked, _) = child.invoke().await;
        child.answer(invoked, "shared").await;
    }
    for _ in 0..100 {
        assert_eq!(parent.returned().await.1, response("shared"));
    }
    world.no_guest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_load_fails_its_callers_and_is_not_cached() {
    let mut world = world();
    let (mut parent, loader, _) = parent(&mut world).await;
    parent
        .send_all(&[
            get(STUB, loader, "one", 1),
            entrypoint(SERVICE, STUB),
            call(1, SERVICE),
            call(2, SERVICE),
        ])
        .await;
    let failure = Failure::new(FailureKind::Exception {}, "Error", "no code today");
    give_code(
        &mut parent,
        1,
        Outcome::Failed {
            failure: failure.clone(),
        },
    )
    .await;
    for _ in 0..2 {
        assert_eq!(
            parent.returned().await.1,
            Outcome::Failed {
                failure: failure.clone()
            }
        );
    }
    parent.send(call(3, SERVICE)).await;
    give_code(&mut parent, 1, code_outcome()).await;
    let (mut child, _) = world.started().await;
    let (invoked, _) = child.invoke().await;
    child.answer(invoked, "now").await;
    assert_eq!(parent.returned().await, (CallId(3), response("now")));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_parents_never_share_an_id() {
    let mut world = world();
    let (mut p, p_loader, _) = parent_named(&mut world, "p").await;
    let (mut q, q_loader, _) = parent_named(&mut world, "q").await;
    for (parent, loader) in [(&mut p, p_loader), (&mut q, q_loader)] {
        parent
            .send_all(&[
                get(STUB, loader, "same", 1),
                entrypoint(SERVICE, STUB),
                call(1, SERVICE),
            ])
            .await;
        give_code(parent, 1, code_outcome()).await;
        let (mut child, _) = world.started().await;
        let (invoked, _) = child.invoke().await;
        child.answer(invoked, "own").await;
        parent.returned().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_worker_is_found_warm_after_its_stub_was_released() {
    let mut world = world();
    let (mut parent, loader, _) = parent(&mut world).await;
    parent
        .send_all(&[
            get(STUB, loader, "one", 1),
            entrypoint(SERVICE, STUB),
            call(1, SERVICE),
        ])
        .await;
    give_code(&mut parent, 1, code_outcome()).await;
    let (mut child, _) = world.started().await;
    let (invoked, _) = child.invoke().await;
    child.answer(invoked, "x").await;
    parent.returned().await;
    parent
        .send_all(&[
            ToHost::ReleaseCap { cap: SERVICE },
            ToHost::ReleaseCap { cap: STUB },
        ])
        .await;
    assert!(matches!(parent.recv().await, ToGuest::ReleaseExport { .. }));
    parent
        .send_all(&[
            get(CapId(5), loader, "one", 2),
            entrypoint(CapId(7), CapId(5)),
            call(2, CapId(7)),
        ])
        .await;
    let (invoked, _) = child.invoke().await;
    child.answer(invoked, "warm").await;
    assert_eq!(parent.returned().await, (CallId(2), response("warm")));
    world.no_guest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_guest_died_is_loaded_again() {
    let mut world = world();
    let (mut parent, loader, _) = parent(&mut world).await;
    parent
        .send_all(&[
            get(STUB, loader, "one", 1),
            entrypoint(SERVICE, STUB),
            call(1, SERVICE),
        ])
        .await;
    give_code(&mut parent, 1, code_outcome()).await;
    let (mut child, _) = world.started().await;
    child.invoke().await;
    drop(child);
    assert!(matches!(
        parent.returned().await.1,
        Outcome::Failed { failure } if failure.kind == FailureKind::Lost {}
    ));
    parent.send(call(2, SERVICE)).await;
    give_code(&mut parent, 1, code_outcome()).await;
    let (mut child, _) = world.started().await;
    let (invoked, _) = child.invoke().await;
    child.answer(invoked, "again").await;
    assert_eq!(parent.returned().await, (CallId(2), response("again")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entrypoint_of_a_dynamic_worker_cannot_be_handed_on() {
    let mut world = world();
    let (mut parent, loader, _) = parent(&mut world).await;
    let mut with_child = code();
    with_child.env = Payload {
        bytes: Blob(vec![1]),
        attachments: vec![Attachment::Cap {
            cap: SERVICE,
            kind: CapKind::Service {},
        }],
    };
    parent
        .send_all(&[
            load(loader, code()),
            entrypoint(SERVICE, STUB),
            ToHost::Load {
                worker: CapId(5),
                loader,
                code: Box::new(with_child),
            },
            entrypoint(CapId(7), CapId(5)),
            call(1, CapId(7)),
        ])
        .await;
    let Outcome::Failed { failure } = parent.returned().await.1 else {
        panic!("not failed");
    };
    assert_eq!(failure.name, "DataCloneError");
    assert!(
        failure
            .message
            .starts_with("Entrypoints to dynamically-loaded")
    );
    assert!(parent.is_alive());
}

#[tokio::test(flavor = "multi_thread")]
async fn code_is_checked_again_on_the_host() {
    let mut world = world();
    let (mut parent, loader, _) = parent(&mut world).await;
    let mut no_main = code();
    no_main.main_module = "other.js".to_owned();
    let mut no_modules = code();
    no_modules.modules.clear();
    let mut twice = code();
    twice.modules.push(module());
    let mut env = code();
    env.env.bytes = Blob(vec![0; mayfly_wire::bounds::ENV_BYTES_MAX + 1]);
    let cases = [
        (no_main, "not one of the modules"),
        (no_modules, "at least one module"),
        (twice, "given twice"),
        (env, "exceeds the maximum allowed size"),
    ];
    for (index, (code, expected)) in cases.into_iter().enumerate() {
        let index = u32::try_from(index).unwrap();
        let stub = CapId(101 + index * 4);
        let service = CapId(103 + index * 4);
        parent
            .send_all(&[
                ToHost::Load {
                    worker: stub,
                    loader,
                    code: Box::new(code),
                },
                entrypoint(service, stub),
                call(index + 1, service),
            ])
            .await;
        let Outcome::Failed { failure } = parent.returned().await.1 else {
            panic!("not failed");
        };
        assert!(failure.message.contains(expected), "{failure:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn loaders_nest_and_each_holder_has_its_own_ids() {
    let mut world = world();
    let (mut parent, loader, _) = parent(&mut world).await;
    let mut nested = code();
    nested.env = Payload {
        bytes: Blob(vec![1]),
        attachments: vec![Attachment::Cap {
            cap: loader,
            kind: CapKind::Loader {},
        }],
    };
    parent
        .send_all(&[
            load(loader, nested),
            entrypoint(SERVICE, STUB),
            call(1, SERVICE),
        ])
        .await;
    let (mut child, start) = world.started().await;
    let Env::Value { payload } = start.env else {
        panic!("no env");
    };
    let Attachment::Cap { cap, kind } = &payload.attachments[0] else {
        panic!("no loader");
    };
    let cap = *cap;
    assert_eq!(*kind, CapKind::Loader {});
    let (invoked, _) = child.invoke().await;
    child
        .send_all(&[
            load(cap, code()),
            entrypoint(SERVICE, STUB),
            call(1, SERVICE),
        ])
        .await;
    let (mut grandchild, _) = world.started().await;
    let (call, _) = grandchild.invoke().await;
    grandchild.answer(call, "deep").await;
    assert_eq!(child.returned().await.1, response("deep"));
    child.answer(invoked, "deep").await;
    assert_eq!(parent.returned().await.1, response("deep"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_worker_has_no_outbound_and_a_service_receives_it() {
    let mut world = world();
    let (mut parent, loader, _) = parent(&mut world).await;
    let mut blocked = code();
    blocked.outbound = Outbound::Blocked {};
    parent
        .send_all(&[
            load(loader, blocked),
            entrypoint(SERVICE, STUB),
            call(1, SERVICE),
        ])
        .await;
    let (_child, start) = world.started().await;
    assert_eq!(start.outbound, None);
    let mut served = code();
    served.outbound = Outbound::Service { cap: CapId(9) };
    parent
        .send_all(&[
            ToHost::GetSelf {
                service: CapId(9),
                name: "Out".to_owned(),
                props: Payload::empty(),
            },
            ToHost::Load {
                worker: CapId(5),
                loader,
                code: Box::new(served),
            },
            entrypoint(CapId(7), CapId(5)),
            call(2, CapId(7)),
        ])
        .await;
    let (mut child, start) = world.started().await;
    child.invoke().await;
    child.send(call(1, start.outbound.unwrap())).await;
    match parent.recv().await {
        ToGuest::Invoke { entrypoint, .. } => assert_eq!(entrypoint, "Out"),
        other => panic!("expected Invoke, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_guests_are_evicted_and_busy_ones_are_not() {
    let mut options = options();
    options.idle_max = Duration::from_millis(100);
    let mut world = world_with(options);
    let (mut parent, loader, p_call) = parent(&mut world).await;
    parent
        .send_all(&[
            get(STUB, loader, "one", 1),
            entrypoint(SERVICE, STUB),
            call(1, SERVICE),
        ])
        .await;
    give_code(&mut parent, 1, code_outcome()).await;
    let (mut child, _) = world.started().await;
    let (invoked, _) = child.invoke().await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(child.is_alive() && parent.is_alive());
    child.answer(invoked, "x").await;
    parent.returned().await;
    child.is_killed().await;
    assert!(parent.is_alive(), "its invocation is not done");
    // The next call loads it again through the callback.
    parent.send(call(2, SERVICE)).await;
    give_code(&mut parent, 1, code_outcome()).await;
    let (mut child, _) = world.started().await;
    let (invoked, _) = child.invoke().await;
    child.answer(invoked, "back").await;
    assert_eq!(parent.returned().await, (CallId(2), response("back")));
    parent.answer(p_call, "end").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_ids_pass_through_few_guests() {
    let mut options = options();
    options.guests_max = 32;
    let mut world = world_with(options);
    let (mut parent, loader, _) = parent(&mut world).await;
    for index in 0..500u32 {
        let stub = CapId(index * 4 + 1);
        let service = CapId(index * 4 + 3);
        parent
            .send_all(&[
                get(stub, loader, &format!("id-{index}"), index),
                entrypoint(service, stub),
                call(index + 1, service),
                ToHost::ReleaseCap { cap: service },
                ToHost::ReleaseCap { cap: stub },
            ])
            .await;
        give_code(&mut parent, index, code_outcome()).await;
        let (mut child, _) = world.started().await;
        let (invoked, _) = child.invoke().await;
        child.answer(invoked, "x").await;
        tokio::spawn(async move { while child.try_recv().await.is_some() {} });
        // In either order.
        for _ in 0..2 {
            match parent.recv().await {
                ToGuest::Return { .. } | ToGuest::ReleaseExport { .. } => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }
    let metrics = world.supervisor.metrics();
    assert!(metrics.guests_live <= 32, "{metrics:?}");
    assert!(metrics.evictions >= 460, "{metrics:?}");
    assert!(metrics.cached_workers <= 33, "{metrics:?}");
    assert!(parent.is_alive());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_house_makes_room_for_the_next_at_once() {
    let mut options = options();
    options.guests_max = 2;
    let mut world = world_with(options);
    let (mut parent, loader, _) = parent(&mut world).await;
    parent
        .send_all(&[
            load(loader, code()),
            entrypoint(SERVICE, STUB),
            call(1, SERVICE),
        ])
        .await;
    let (mut child, _) = world.started().await;
    let (invoked, _) = child.invoke().await;
    child.answer(invoked, "x").await;
    parent.returned().await;
    parent
        .send_all(&[
            ToHost::Load {
                worker: CapId(5),
                loader,
                code: Box::new(code()),
            },
            entrypoint(CapId(7), CapId(5)),
            call(2, CapId(7)),
        ])
        .await;
    child.is_killed().await;
    let (mut next, _) = world.started().await;
    let (invoked, _) = next.invoke().await;
    next.answer(invoked, "y").await;
    assert_eq!(parent.returned().await, (CallId(2), response("y")));
    // A Worker from `load()` starts again from the code it was given.
    parent.send(call(3, SERVICE)).await;
    next.is_killed().await;
    let (mut again, _) = world.started().await;
    let (invoked, _) = again.invoke().await;
    again.answer(invoked, "z").await;
    assert_eq!(parent.returned().await, (CallId(3), response("z")));
}
