//! Two guests that call each other in turn share a core, and only for as long as they do.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod fake;

use fake::*;
use mayfly_sandbox::affinity::Cores;
use mayfly_wire::*;
use std::sync::atomic::Ordering;

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

async fn answer(guest: &mut FakeGuest) {
    let (call, _) = guest.invoke().await;
    assert_eq!(guest.recv().await, ToGuest::ReleaseAnswer { call });
    let outcome = value(vec![]);
    guest
        .send_all(&[ToHost::Return { call, outcome }, ToHost::Done { call }])
        .await;
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
async fn calls_that_overlap_are_no_pair() {
    let mut world = World::new();
    let (mut a, mut b, slot) = neighbours(&mut world).await;
    for number in 1..200 {
        a.send_all(&[call(number * 2, slot), call(number * 2 + 1, slot)])
            .await;
        answer(&mut b).await;
        answer(&mut b).await;
        a.returned().await;
        a.returned().await;
        assert!(!is_bound(&a) && !is_bound(&b), "after {number}");
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
