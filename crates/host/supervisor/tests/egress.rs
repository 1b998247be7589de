//! What one guest may have under way outside of the host, with a made-up internet that never answers.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod fake;

use fake::*;
use mayfly_exchange::{BoxFuture, Failure, Request, Response, Service};
use mayfly_supervisor::bounds::EGRESS_AT_ONCE_MAX;
use mayfly_wire::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts who waits for it.
#[derive(Default)]
struct Silence {
    asked: AtomicUsize,
}

impl Service for Silence {
    fn fetch(&self, _: Request) -> BoxFuture<Result<Response, Failure>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::pending())
    }

    fn reaches_out(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_has_so_many_requests_under_way_and_the_others_wait() {
    let mut world = World::new();
    let silence = Arc::new(Silence::default());
    let network = silence.clone();
    world
        .supervisor
        .deploy(vec![worker("greedy", vec![])], network)
        .unwrap();
    drop(world.fetch("greedy"));
    let (mut guest, start) = world.started().await;
    guest.invoke().await;
    let outbound = start.outbound.unwrap();
    let asked = || silence.asked.load(Ordering::SeqCst);
    let calls = u32::try_from(EGRESS_AT_ONCE_MAX).unwrap() + 20;
    for call in 1..=calls {
        let event = fetch_event();
        guest
            .send(ToHost::Call {
                call: CallId(call),
                cap: outbound,
                event,
                result: None,
            })
            .await;
    }
    eventually("as many as may", || asked() == EGRESS_AT_ONCE_MAX).await;
    guest.quiet().await;
    assert_eq!(asked(), EGRESS_AT_ONCE_MAX);
    // One that is given up makes room for the next.
    for call in 1..=3 {
        let reason = "enough".to_owned();
        guest
            .send(ToHost::Cancel {
                call: CallId(call),
                reason,
            })
            .await;
    }
    eventually("three more", || asked() == EGRESS_AT_ONCE_MAX + 3).await;
}
