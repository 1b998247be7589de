//! Two guests that call each other in turn share a core, and only for as long as they do.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod fake;

use fake::*;
use mayfly_sandbox::affinity::Cores;
use mayfly_sandbox::mailbox::Mailbox;
use mayfly_wire::*;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Calls tried until a pair must have been seen. A busy machine leaves gaps between them.
const CALLS_MAX: u32 = 20_000;

/// `a` is bound to `b`, both live; an invocation of `a` is under way.
async fn neighbours(world: &mut World) -> (FakeGuest, FakeGuest, CapId) {
    world.deploy(vec![
        worker("a", vec![("B", service("b"))]),
        worker("b", vec![]),
    ]);
    drop(world.fetch("a"));
    let (mut a, start) = world.started().await;
    a.invoke().await;
    let slot = slot(&start, "B");
    a.send(call(1, slot)).await;
    let (mut b, _) = world.started().await;
    answer(&mut b).await;
    a.returned().await;
    (a, b, slot)
}

fn call(number: u32, cap: CapId) -> ToHost {
    ToHost::Call {
        call: CallId(number),
        cap,
        event: rpc_event("hello"),
        result: None,
    }
}

/// Answers a call; whether the guest heard with it that it is to stay awake.
async fn answer(guest: &mut FakeGuest) -> bool {
    let mut frame = guest.recv().await;
    let awake = matches!(frame, ToGuest::StayAwake { us } if us > 0);
    if matches!(frame, ToGuest::StayAwake { .. }) {
        frame = guest.recv().await;
    }
    let ToGuest::Invoke { call, .. } = frame else {
        panic!("expected Invoke, got {frame:?}");
    };
    assert_eq!(guest.recv().await, ToGuest::ReleaseAnswer { call });
    guest.send_all(&outcome_of(call)).await;
    awake
}

fn outcome_of(call: CallId) -> [ToHost; 2] {
    let outcome = value(vec![]);
    [ToHost::Return { call, outcome }, ToHost::Done { call }]
}

fn is_bound(guest: &FakeGuest) -> bool {
    guest.process.bound.load(Ordering::SeqCst)
}

/// Calls in turn until both are bound.
async fn until_bound(a: &mut FakeGuest, b: &mut FakeGuest, slot: CapId) {
    for number in 2..CALLS_MAX {
        a.send(call(number, slot)).await;
        answer(b).await;
        a.returned().await;
        if is_bound(a) && is_bound(b) {
            return;
        }
    }
    panic!("never bound");
}

fn has_one_core() -> bool {
    Cores::allowed().unwrap().count() < 2
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_that_call_in_turn_are_bound_and_released_in_silence() {
    if has_one_core() {
        return;
    }
    let mut world = World::new();
    let (mut a, mut b, slot) = neighbours(&mut world).await;
    assert!(!is_bound(&a) && !is_bound(&b));
    until_bound(&mut a, &mut b, slot).await;
    eventually("a release", || !is_bound(&a) && !is_bound(&b)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_are_no_pair() {
    const AT_ONCE: u32 = 16;
    let mut world = World::new();
    let (mut a, mut b, slot) = neighbours(&mut world).await;
    for round in 1..100 {
        let first = round * AT_ONCE;
        let calls: Vec<_> = (first..first + AT_ONCE)
            .map(|number| call(number, slot))
            .collect();
        a.send_all(&calls).await;
        for _ in 0..AT_ONCE {
            answer(&mut b).await;
        }
        for _ in 0..AT_ONCE {
            a.returned().await;
        }
        assert!(!is_bound(&a) && !is_bound(&b), "after {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_ends_with_one_of_its_guests() {
    if has_one_core() {
        return;
    }
    let mut world = World::new();
    let (mut a, mut b, slot) = neighbours(&mut world).await;
    until_bound(&mut a, &mut b, slot).await;
    let FakeGuest { stream, .. } = b;
    drop(stream);
    eventually("a release", || !is_bound(&a)).await;
}

fn frames_of(mut bytes: &[u8]) -> Vec<ToGuest> {
    let mut frames = Vec::new();
    while let Some((prefix, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() {
        let (body, rest) = rest.split_at(frame_length(*prefix).unwrap());
        frames.push(read_frame(body).unwrap());
        bytes = rest;
    }
    frames
}

/// Whoever stays awake does so for long.
fn awake_world() -> World {
    let mut options = options();
    options.awake_max = Duration::from_secs(1);
    World::with(options)
}

/// Calls until one has come through the mailbox of a callee that is awake; those that come through
/// its socket it answers.
async fn call_awake(
    a: &mut FakeGuest,
    b: &mut FakeGuest,
    slot: CapId,
    numbers: &mut Range<u32>,
) -> (Mailbox, CallId) {
    let mailbox = b.mailbox();
    for number in numbers {
        mailbox.listen(b.heard);
        a.send(call(number, slot)).await;
        let mut bytes = Vec::new();
        let until = Instant::now() + WAIT;
        while mailbox.take(&mut bytes) == 0 && !b.has_bytes() {
            assert!(Instant::now() < until, "no call");
        }
        mailbox.stop_listening();
        if !bytes.is_empty() {
            return match frames_of(&bytes)[..] {
                [ToGuest::Invoke { call, .. }, ToGuest::ReleaseAnswer { .. }]
                | [
                    ToGuest::StayAwake { .. },
                    ToGuest::Invoke { call, .. },
                    ToGuest::ReleaseAnswer { .. },
                ] => (mailbox, call),
                ref other => panic!("{other:?}"),
            };
        }
        answer(b).await;
        a.returned().await;
    }
    panic!("no call came through the mailbox");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callee_that_is_awake_is_called_and_answers_through_its_mailbox() {
    if has_one_core() {
        return;
    }
    let mut world = awake_world();
    let (mut a, mut b, slot) = neighbours(&mut world).await;
    let mut numbers = 2..CALLS_MAX;
    let mut answered = 0;
    while answered < 20 {
        let (mailbox, call) = call_awake(&mut a, &mut b, slot, &mut numbers).await;
        let mut bytes = Vec::new();
        for frame in outcome_of(call) {
            write_frame(&frame, &mut bytes);
        }
        // The host may have given up looking: then it reads the socket.
        match mailbox.put(&bytes, b.sent) {
            true => answered += 1,
            false => b.send_all(&outcome_of(call)).await,
        }
        let (_, outcome) = a.returned().await;
        assert!(matches!(outcome, Outcome::Value { .. }), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_frame_in_a_mailbox_ends_its_guest() {
    if has_one_core() {
        return;
    }
    let mut world = awake_world();
    let (mut a, mut b, slot) = neighbours(&mut world).await;
    let mut numbers = 2..CALLS_MAX;
    loop {
        let (mailbox, call) = call_awake(&mut a, &mut b, slot, &mut numbers).await;
        if mailbox.put(&[0xff; 4000], b.sent) {
            break;
        }
        b.send_all(&outcome_of(call)).await;
        a.returned().await;
    }
    b.is_killed().await;
    let (_, outcome) = a.returned().await;
    assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    assert!(a.is_alive());
}
