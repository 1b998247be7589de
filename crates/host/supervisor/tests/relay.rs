//! Calls, capabilities and streams between made-up guests, each rule by name.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod fake;

use fake::*;
use mayfly_exchange::{Body as HostBody, BodyReader};
use mayfly_supervisor::bounds::UNASKED_BYTES_MAX;
use mayfly_wire::bounds::STREAM_WINDOW_BYTES;
use mayfly_wire::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_starts_its_worker_and_gets_the_answer() {
    let mut world = World::new();
    world.deploy(vec![worker("a", vec![])]);
    let answer = world.fetch("a");
    let (mut guest, start) = world.started().await;
    assert_eq!(start.name, "a");
    let (call, event) = guest.invoke().await;
    assert!(matches!(event, Event::Fetch { .. }));
    guest.answer(call, "hello").await;
    assert_eq!(text(within(answer).await.unwrap()).await, "hello");
    // The second request finds the Worker warm.
    let answer = world.fetch("a");
    let (call, _) = guest.invoke().await;
    guest.answer(call, "again").await;
    assert_eq!(text(within(answer).await.unwrap()).await, "again");
    world.no_guest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_for_a_start_are_delivered_in_order() {
    let mut world = World::new();
    world.deploy(vec![worker("a", vec![])]);
    let answers: Vec<_> = (0..20).map(|_| world.fetch("a")).collect();
    let (mut guest, _) = world.started().await;
    for _ in 0..20 {
        let (call, _) = guest.invoke().await;
        guest.answer(call, "x").await;
    }
    for answer in answers {
        assert_eq!(text(within(answer).await.unwrap()).await, "x");
    }
    world.no_guest().await;
}

/// Two Workers, `a` bound to `b`, both live, each with one invocation or call under way.
async fn pair(world: &mut World) -> (FakeGuest, FakeGuest, CapId, CallId) {
    world.deploy(vec![
        worker("a", vec![("B", service("b"))]),
        worker("b", vec![]),
    ]);
    drop(world.fetch("a"));
    let (mut a, start) = world.started().await;
    let (call, _) = a.invoke().await;
    let b_slot = slot(&start, "B");
    a.send(ToHost::Call {
        call: CallId(1),
        cap: b_slot,
        event: rpc_event("hello"),
        result: None,
    })
    .await;
    let (mut b, _) = world.started().await;
    let (b_call, event) = b.invoke().await;
    assert_eq!(event, rpc_event("hello"));
    assert_eq!(b.recv().await, ToGuest::ReleaseAnswer { call: b_call });
    b.send_all(&[
        ToHost::Return {
            call: b_call,
            outcome: value(vec![]),
        },
        ToHost::Done { call: b_call },
    ])
    .await;
    assert_eq!(a.returned().await, (CallId(1), value(vec![])));
    (a, b, b_slot, call)
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_travel_are_called_and_released() {
    let mut world = World::new();
    let (mut a, mut b, b_slot, _) = pair(&mut world).await;
    // A passes a callback of its own.
    a.send(ToHost::Call {
        call: CallId(2),
        cap: b_slot,
        event: Event::Rpc {
            path: vec!["take".to_owned()],
            args: Some(Payload {
                bytes: Blob(vec![7]),
                attachments: vec![Attachment::Export {
                    export: ExportId(5),
                }],
            }),
        },
        result: None,
    })
    .await;
    let (call, event) = b.invoke().await;
    let Event::Rpc {
        args: Some(args), ..
    } = event
    else {
        panic!("not a call");
    };
    let [Attachment::Cap { cap, kind }] = args.attachments.as_slice() else {
        panic!("no capability");
    };
    let cap = *cap;
    assert_eq!(*kind, CapKind::Object {});
    assert_eq!(cap.0 % 2, 0);
    assert!(matches!(b.recv().await, ToGuest::ReleaseAnswer { .. }));
    // B calls it back, twice through a copy, and hands it back to its owner.
    b.send_all(&[
        ToHost::DupCap {
            cap,
            copy: CapId(1),
        },
        ToHost::ReleaseCap { cap },
        ToHost::Call {
            call: CallId(1),
            cap: CapId(1),
            event: rpc_event("back"),
            result: None,
        },
    ])
    .await;
    match a.recv().await {
        ToGuest::CallExport { call, export, .. } => {
            assert_eq!(export, ExportId(5));
            assert_eq!(a.recv().await, ToGuest::ReleaseAnswer { call });
            a.send_all(&[
                ToHost::Return {
                    call,
                    outcome: value(vec![]),
                },
                ToHost::Done { call },
            ])
            .await;
        }
        other => panic!("expected CallExport, got {other:?}"),
    }
    assert_eq!(b.returned().await, (CallId(1), value(vec![])));
    a.quiet().await;
    b.send(ToHost::ReleaseCap { cap: CapId(1) }).await;
    assert_eq!(
        a.recv().await,
        ToGuest::ReleaseExport {
            export: ExportId(5),
            count: 1
        }
    );
    b.send(ToHost::Return {
        call,
        outcome: value(vec![]),
    })
    .await;
    assert_eq!(a.returned().await.0, CallId(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipelined_call_reaches_the_callee_before_the_answer_exists() {
    let mut world = World::new();
    world.deploy(vec![
        worker("a", vec![("B", service("b"))]),
        worker("b", vec![]),
    ]);
    drop(world.fetch("a"));
    let (mut a, start) = world.started().await;
    let b_slot = slot(&start, "B");
    let (a_call, _) = a.invoke().await;
    // Both go out before B even has a process.
    a.send_all(&[
        ToHost::Call {
            call: CallId(1),
            cap: b_slot,
            event: rpc_event("first"),
            result: Some(CapId(1)),
        },
        ToHost::Call {
            call: CallId(2),
            cap: CapId(1),
            event: rpc_event("second"),
            result: None,
        },
    ])
    .await;
    let (mut b, _) = world.started().await;
    let (first, event) = b.invoke().await;
    assert_eq!(event, rpc_event("first"));
    let second = match b.recv().await {
        ToGuest::CallAnswer {
            call,
            answer,
            event,
        } => {
            assert_eq!(answer, first);
            assert_eq!(event, rpc_event("second"));
            call
        }
        other => panic!("expected CallAnswer, got {other:?}"),
    };
    assert_eq!(b.recv().await, ToGuest::ReleaseAnswer { call: second });
    a.send(ToHost::ReleaseCap { cap: CapId(1) }).await;
    assert_eq!(b.recv().await, ToGuest::ReleaseAnswer { call: first });
    for call in [first, second] {
        b.send_all(&[
            ToHost::Return {
                call,
                outcome: value(vec![]),
            },
            ToHost::Done { call },
        ])
        .await;
    }
    assert_eq!(a.returned().await.0, CallId(1));
    assert_eq!(a.returned().await.0, CallId(2));
    a.answer(a_call, "done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guests_death_reaches_callers_and_holders_at_once() {
    let mut world = World::new();
    let (mut a, mut b, b_slot, _) = pair(&mut world).await;
    for call in [2, 3] {
        a.send(ToHost::Call {
            call: CallId(call),
            cap: b_slot,
            event: rpc_event("object"),
            result: None,
        })
        .await;
    }
    let (call, _) = b.invoke().await;
    b.recv().await;
    b.invoke().await;
    b.recv().await;
    b.send(ToHost::Return {
        call,
        outcome: value(vec![Attachment::Export {
            export: ExportId(1),
        }]),
    })
    .await;
    let (_, outcome) = a.returned().await;
    let Outcome::Value { payload } = outcome else {
        panic!("no value");
    };
    let Attachment::Cap { cap, .. } = payload.attachments[0] else {
        panic!("no capability");
    };
    let since = Instant::now();
    drop(b);
    let (call, outcome) = a.returned().await;
    assert_eq!(call, CallId(3));
    let Outcome::Failed { failure } = outcome else {
        panic!("not failed");
    };
    assert_eq!(failure.kind, FailureKind::Lost {});
    match a.recv().await {
        ToGuest::CapBroken { cap: broken, .. } => assert_eq!(broken, cap),
        other => panic!("expected CapBroken, got {other:?}"),
    }
    assert!(since.elapsed() < Duration::from_millis(50), "{since:?}");
    // Calls on the broken object fail; the Worker itself starts afresh.
    a.send(ToHost::Call {
        call: CallId(4),
        cap,
        event: rpc_event("x"),
        result: None,
    })
    .await;
    assert!(matches!(
        a.returned().await.1,
        Outcome::Failed { failure } if failure.kind == FailureKind::Lost {}
    ));
    a.send(ToHost::Call {
        call: CallId(5),
        cap: b_slot,
        event: rpc_event("x"),
        result: None,
    })
    .await;
    let (mut b, _) = world.started().await;
    b.invoke().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_response_passes_with_credit() {
    let mut world = World::new();
    world.deploy(vec![worker("a", vec![])]);
    let answer = world.fetch("a");
    let (mut a, _) = world.started().await;
    let (call, _) = a.invoke().await;
    a.send(ToHost::Return {
        call,
        outcome: Outcome::Response {
            head: response_head(),
            body: Body::Stream {
                stream: StreamId(1),
                length: None,
            },
        },
    })
    .await;
    let HostBody::Stream { mut reader, .. } = within(answer).await.unwrap().unwrap().body else {
        panic!("no stream");
    };
    // Several windows' worth: the guest must wait for credit in between.
    let total = 8 * STREAM_WINDOW_BYTES as usize;
    let reading = tokio::spawn(async move {
        let mut count = 0;
        while let Some(piece) = reader.next().await {
            count += piece.unwrap().len();
        }
        count
    });
    let (mut sent, mut window) = (0, STREAM_WINDOW_BYTES as usize);
    while sent < total {
        while window < 65536 {
            match a.recv().await {
                ToGuest::StreamCredit { bytes, .. } => window += bytes as usize,
                other => panic!("expected credit, got {other:?}"),
            }
        }
        a.send(ToHost::StreamData {
            stream: StreamId(1),
            bytes: Blob(vec![9; 65536]),
        })
        .await;
        sent += 65536;
        window -= 65536;
    }
    a.send_all(&[
        ToHost::StreamEnd {
            stream: StreamId(1),
        },
        ToHost::Done { call },
    ])
    .await;
    assert_eq!(within(reading).await.unwrap(), total);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_between_guests_is_joined_one_to_one() {
    let mut world = World::new();
    let (mut a, mut b, b_slot, _) = pair(&mut world).await;
    a.send_all(&[
        ToHost::Call {
            call: CallId(2),
            cap: b_slot,
            event: Event::Fetch {
                request: Arc::new(head("/")),
                body: Body::Stream {
                    stream: StreamId(1),
                    length: Some(3),
                },
            },
            result: None,
        },
        ToHost::StreamData {
            stream: StreamId(1),
            bytes: Blob(b"abc".to_vec()),
        },
        ToHost::StreamEnd {
            stream: StreamId(1),
        },
    ])
    .await;
    let (_, event) = b.invoke().await;
    let Event::Fetch {
        body: Body::Stream { stream, length },
        ..
    } = event
    else {
        panic!("no stream");
    };
    assert_eq!(length, Some(3));
    let data = ToGuest::StreamData {
        stream,
        bytes: Blob(b"abc".to_vec()),
    };
    assert_eq!(b.recv().await, data);
    assert_eq!(b.recv().await, ToGuest::StreamEnd { stream });
    // Late words about a stream that is over are no offence.
    b.send(ToHost::StreamCredit { stream, bytes: 3 }).await;
    b.send(ToHost::StreamCancel {
        stream,
        reason: "late".to_owned(),
    })
    .await;
    b.quiet().await;
    assert!(b.is_alive());
}

fn chunk(stream: u32, bytes: usize) -> ToHost {
    ToHost::StreamData {
        stream: StreamId(stream),
        bytes: Blob(vec![7; bytes]),
    }
}

/// `a` was asked by the host, asks `b` and has its streaming response: stream 1 of `b`'s is `from` in
/// `a`, which answers with its own stream 3 before or after.
struct Passing {
    a: FakeGuest,
    b: FakeGuest,
    a_call: CallId,
    from: StreamId,
    reader: BodyReader,
}

const OUT: StreamId = StreamId(3);

fn streaming(stream: u32) -> Outcome {
    Outcome::Response {
        head: response_head(),
        body: Body::Stream {
            stream: StreamId(stream),
            length: None,
        },
    }
}

async fn passing(world: &mut World) -> Passing {
    let mut bound = worker("a", vec![("B", service("b"))]);
    bound.limits.cpu_ms = None;
    world.deploy(vec![bound, worker("b", vec![])]);
    let answer = world.fetch("a");
    let (mut a, start) = world.started().await;
    let (a_call, _) = a.invoke().await;
    a.send(ToHost::Call {
        call: CallId(1),
        cap: slot(&start, "B"),
        event: fetch_event(),
        result: None,
    })
    .await;
    let (mut b, _) = world.started().await;
    let (b_call, _) = b.invoke().await;
    b.send_all(&[
        ToHost::Return {
            call: b_call,
            outcome: streaming(1),
        },
        chunk(1, 1000),
    ])
    .await;
    let (_, outcome) = a.returned().await;
    let Outcome::Response {
        body: Body::Stream { stream: from, .. },
        ..
    } = outcome
    else {
        panic!("no stream");
    };
    a.quiet().await;
    a.send(ToHost::Return {
        call: a_call,
        outcome: streaming(OUT.0),
    })
    .await;
    let HostBody::Stream { reader, .. } = within(answer).await.unwrap().unwrap().body else {
        panic!("no stream");
    };
    Passing {
        a,
        b,
        a_call,
        from,
        reader,
    }
}

impl Passing {
    async fn join(&mut self) {
        let (from, to) = (self.from, OUT);
        self.a.send(ToHost::StreamJoin { from, to }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_passes_on_unread_never_enters_it() {
    let mut world = World::new();
    let mut passing = passing(&mut world).await;
    passing.join().await;
    let mut reader = passing.reader;
    let reading = tokio::spawn(async move {
        let mut count = 0;
        while let Some(piece) = reader.next().await {
            count += piece.unwrap().len();
        }
        count
    });
    // Several windows, which the writer gets credit for.
    let (mut sent, mut window) = (1000, STREAM_WINDOW_BYTES as usize - 1000);
    while sent < 4 * STREAM_WINDOW_BYTES as usize {
        while window < 60_000 {
            match passing.b.recv().await {
                ToGuest::StreamCredit { bytes, .. } => window += bytes as usize,
                other => panic!("expected credit, got {other:?}"),
            }
        }
        passing.b.send(chunk(1, 60_000)).await;
        sent += 60_000;
        window -= 60_000;
    }
    passing
        .b
        .send(ToHost::StreamEnd {
            stream: StreamId(1),
        })
        .await;
    assert_eq!(within(reading).await.unwrap(), sent);
    // The one that passed it on heard of nothing but the end.
    let passed = ToGuest::StreamPassed { stream: OUT };
    assert_eq!(passing.a.recv().await, passed);
    passing
        .a
        .send(ToHost::Done {
            call: passing.a_call,
        })
        .await;
    passing.a.quiet().await;
    assert!(passing.a.is_alive() && passing.b.is_alive());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_comes_and_can_no_longer_be_joined() {
    let mut world = World::new();
    let mut passing = passing(&mut world).await;
    let stream = passing.from;
    passing.a.send(ToHost::StreamRead { stream }).await;
    let ToGuest::StreamData { bytes, .. } = passing.a.recv().await else {
        panic!("no data");
    };
    assert_eq!(bytes.0.len(), 1000);
    passing.join().await;
    passing.b.send(chunk(1, 10)).await;
    // It comes here all the same, and the guest passes it on itself.
    let data = ToGuest::StreamData {
        stream,
        bytes: Blob(vec![7; 10]),
    };
    assert_eq!(passing.a.recv().await, data);
    passing.a.send(chunk(OUT.0, 10)).await;
    let piece = within(passing.reader.next()).await.unwrap().unwrap();
    assert_eq!(piece.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_before_it_was_read_is_given_at_once() {
    let mut world = World::new();
    let mut passing = passing(&mut world).await;
    passing
        .b
        .send(ToHost::StreamEnd {
            stream: StreamId(1),
        })
        .await;
    let stream = passing.from;
    assert!(matches!(passing.a.recv().await, ToGuest::StreamData { .. }));
    assert_eq!(passing.a.recv().await, ToGuest::StreamEnd { stream });
    // Too late, and no offence.
    passing.join().await;
    passing.a.send(chunk(OUT.0, 1000)).await;
    passing.a.send(ToHost::StreamEnd { stream: OUT }).await;
    let piece = within(passing.reader.next()).await.unwrap().unwrap();
    assert_eq!(piece.len(), 1000);
    assert!(within(passing.reader.next()).await.is_none());
    assert!(passing.a.is_alive());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_leaves_cancels_through_a_join() {
    let mut world = World::new();
    let mut passing = passing(&mut world).await;
    passing.join().await;
    passing.a.quiet().await;
    drop(passing.reader);
    assert!(matches!(
        passing.a.recv().await,
        ToGuest::StreamCancel { stream, .. } if stream == OUT
    ));
    loop {
        match passing.b.recv().await {
            ToGuest::StreamCredit { .. } => {}
            ToGuest::StreamCancel { stream, .. } => break assert_eq!(stream, StreamId(1)),
            other => panic!("expected StreamCancel, got {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_joined_stream_breaks_when_its_writer_or_the_one_between_ends() {
    for between in [true, false] {
        let mut world = World::new();
        let mut passing = passing(&mut world).await;
        passing.join().await;
        passing.a.quiet().await;
        let Passing {
            a, b, mut reader, ..
        } = passing;
        let mut left = if between {
            drop(a);
            b
        } else {
            drop(b);
            a
        };
        let failure = loop {
            match within(reader.next()).await {
                Some(Ok(_)) => {}
                Some(Err(failure)) => break failure,
                None => panic!("a whole body"),
            }
        };
        assert!(matches!(failure.kind, FailureKind::Lost {}), "{failure:?}");
        if between {
            loop {
                match left.recv().await {
                    ToGuest::StreamCredit { .. } => {}
                    ToGuest::StreamCancel { .. } => break,
                    other => panic!("expected StreamCancel, got {other:?}"),
                }
            }
        } else {
            let passed = ToGuest::StreamPassed { stream: OUT };
            assert_eq!(left.recv().await, passed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_between_may_break_a_join_off() {
    let mut world = World::new();
    let mut passing = passing(&mut world).await;
    passing.join().await;
    let failure = Failure::new(FailureKind::Canceled {}, "AbortError", "enough");
    passing
        .a
        .send(ToHost::StreamAbort {
            stream: OUT,
            failure,
        })
        .await;
    let failure = loop {
        match within(passing.reader.next()).await {
            Some(Ok(_)) => {}
            Some(Err(failure)) => break failure,
            None => panic!("a whole body"),
        }
    };
    assert_eq!(failure.message, "enough");
}

/// A guest that leaves many streams unread makes the host keep no more than so many bytes of them.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_reads_is_sent_unasked_in_the_end() {
    let mut world = World::new();
    let (mut a, mut b, b_slot, _) = pair(&mut world).await;
    let window = STREAM_WINDOW_BYTES as usize;
    let streams = u32::try_from(UNASKED_BYTES_MAX as usize / window).unwrap() + 1;
    for index in 0..streams {
        let stream = StreamId(index * 2 + 1);
        a.send(ToHost::Call {
            call: CallId(index + 2),
            cap: b_slot,
            event: Event::Fetch {
                request: Arc::new(head("/")),
                body: Body::Stream {
                    stream,
                    length: None,
                },
            },
            result: None,
        })
        .await;
        b.invoke().await;
        let chunks = vec![chunk(stream.0, 64 * 1024); window / (64 * 1024)];
        a.send_all(&chunks).await;
        if index + 2 == streams {
            b.quiet().await;
        }
    }
    assert!(matches!(b.recv().await, ToGuest::StreamData { .. }));
    assert!(a.is_alive() && b.is_alive());
}

/// A body goes through two guests that leave it to the host, in either order.
#[tokio::test(flavor = "multi_thread")]
async fn joins_can_be_joined() {
    let mut world = World::new();
    let (mut a, mut b, b_slot, a_call) = pair(&mut world).await;
    // `b` calls nobody: what `a` sends it comes back as its answer, which `a` answers with.
    let stream = StreamId(1);
    a.send(ToHost::Call {
        call: CallId(2),
        cap: b_slot,
        event: Event::Fetch {
            request: Arc::new(head("/")),
            body: Body::Stream {
                stream,
                length: None,
            },
        },
        result: None,
    })
    .await;
    let (b_call, event) = b.invoke().await;
    let Event::Fetch {
        body: Body::Stream { stream: heard, .. },
        ..
    } = event
    else {
        panic!("no stream");
    };
    b.send_all(&[
        ToHost::Return {
            call: b_call,
            outcome: streaming(5),
        },
        ToHost::StreamJoin {
            from: heard,
            to: StreamId(5),
        },
    ])
    .await;
    let (_, outcome) = a.returned().await;
    let Outcome::Response {
        body: Body::Stream { stream: back, .. },
        ..
    } = outcome
    else {
        panic!("no stream");
    };
    // It would feed itself: nothing comes of it, and nobody waits in a circle.
    a.send(ToHost::StreamJoin {
        from: back,
        to: stream,
    })
    .await;
    a.quiet().await;
    a.send(ToHost::StreamRead { stream: back }).await;
    a.send(chunk(1, 5)).await;
    let data = ToGuest::StreamData {
        stream: back,
        bytes: Blob(vec![7; 5]),
    };
    assert_eq!(a.recv().await, data);
    a.send(ToHost::StreamEnd { stream }).await;
    assert_eq!(a.recv().await, ToGuest::StreamEnd { stream: back });
    let passed = ToGuest::StreamPassed {
        stream: StreamId(5),
    };
    assert_eq!(b.recv().await, passed);
    a.answer(a_call, "done").await;
    assert!(a.is_alive() && b.is_alive());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_cancels_the_invocation() {
    let mut world = World::new();
    world.deploy(vec![worker("a", vec![])]);
    let answer = world.fetch("a");
    let (mut a, _) = world.started().await;
    let (call, _) = a.invoke().await;
    answer.abort();
    match a.recv().await {
        ToGuest::Cancel { call: canceled, .. } => assert_eq!(canceled, call),
        other => panic!("expected Cancel, got {other:?}"),
    }
    a.answer(call, "too late").await;
    a.quiet().await;
    assert!(a.is_alive());
}

#[tokio::test(flavor = "multi_thread")]
async fn global_fetch_goes_out_through_the_network_service() {
    let mut world = World::new();
    let (mut a, _, _, _) = pair(&mut world).await;
    // The outbound slot is the one that is not the binding; it was installed behind it.
    a.send_all(&[
        ToHost::Call {
            call: CallId(2),
            cap: CapId(4),
            event: Event::Fetch {
                request: Arc::new(head("/out")),
                body: Body::Stream {
                    stream: StreamId(1),
                    length: None,
                },
            },
            result: None,
        },
        ToHost::StreamData {
            stream: StreamId(1),
            bytes: Blob(b"+body".to_vec()),
        },
        ToHost::StreamEnd {
            stream: StreamId(1),
        },
    ])
    .await;
    loop {
        match a.recv().await {
            ToGuest::StreamCredit { .. } => {}
            ToGuest::Return { outcome, .. } => {
                assert_eq!(outcome, {
                    let Outcome::Response { body, .. } = response("http://test/out+body") else {
                        panic!();
                    };
                    Outcome::Response {
                        head: response_head(),
                        body,
                    }
                });
                break;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cpu_over_the_limit_ends_the_guest_and_its_callers_hear_why() {
    let mut world = World::new();
    let mut limited = worker("a", vec![]);
    limited.limits.cpu_ms = Some(50);
    world.deploy(vec![limited]);
    let answer = world.fetch("a");
    let (mut a, _) = world.started().await;
    a.invoke().await;
    // What is used before `Started` has been read belongs to the start.
    tokio::time::sleep(Duration::from_millis(50)).await;
    a.process.cpu_us.store(51_000, Ordering::SeqCst);
    let failure = within(answer).await.unwrap().unwrap_err();
    assert_eq!(failure.kind, FailureKind::ExceededCpu {});
    let said = "Worker exceeded CPU time limit. [cpu: 51.0 ms, limit 50 ms]";
    assert_eq!(failure.message, said);
    assert_eq!(budget(&failure), ("cpu", 51.0, 50.0));
    a.is_killed().await;
}

fn budget(failure: &Failure) -> (&str, f64, f64) {
    let budget = failure.budget.as_ref().unwrap();
    (&budget.name, budget.value, budget.limit)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_has_a_limit_of_its_own_until_the_main_module_is_done() {
    for running in [false, true] {
        let mut world = World::new();
        let mut limited = worker("a", vec![]);
        limited.limits.cpu_ms = Some(50);
        limited.caps.startup = Some(Duration::from_millis(80));
        world.deploy(vec![limited]);
        let answer = world.fetch("a");
        // No `Started`, as of a guest that is still at it.
        let mut a = world.guest().await;
        if running {
            a.send(ToHost::Running {}).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        a.process.cpu_us.store(60_000, Ordering::SeqCst);
        if !running {
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(a.is_alive());
            a.process.cpu_us.store(81_000, Ordering::SeqCst);
        }
        let failure = within(answer).await.unwrap().unwrap_err();
        let expect = match running {
            true => ("cpu", 60.0, 50.0),
            false => ("startup", 81.0, 80.0),
        };
        assert_eq!(budget(&failure), expect);
        a.is_killed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_whose_time_is_over_is_cancelled_and_then_ended() {
    let mut world = World::new();
    let mut limited = worker("a", vec![]);
    limited.caps.wall = Some(Duration::from_millis(60));
    world.deploy(vec![limited]);
    let answer = world.fetch("a");
    let (mut a, _) = world.started().await;
    let (call, _) = a.invoke().await;
    let failure = within(answer).await.unwrap().unwrap_err();
    let (name, value, limit) = budget(&failure);
    assert_eq!((name, limit), ("wall", 60.0));
    assert!(value >= limit, "{value}");
    match a.recv().await {
        ToGuest::Cancel { call: canceled, .. } => assert_eq!(canceled, call),
        other => panic!("unexpected {other:?}"),
    }
    // One that ends now goes on living; this one does not.
    assert!(a.is_alive());
    a.is_killed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_lies_about_whom_it_acts_for_spends_what_all_have_and_no_more() {
    let mut world = World::new();
    let mut limited = worker("a", vec![]);
    limited.limits.sub_requests = Some(2);
    world.deploy(vec![limited]);
    let answers = [world.fetch("a"), world.fetch("a"), world.fetch("a")];
    let (mut a, start) = world.started().await;
    let mut calls = Vec::new();
    for _ in 0..3 {
        calls.push(a.invoke().await.0);
    }
    let outbound = start.outbound.unwrap();
    let ask = |number: u32| ToHost::Call {
        call: CallId(number),
        cap: outbound,
        event: fetch_event(),
        result: None,
    };
    // Two for each of three. The claims: one of them, nobody, a call that is not there.
    let mut frames = Vec::new();
    for number in 0..12 {
        let claim = match number % 3 {
            0 => Some(calls[0]),
            1 => None,
            _ => Some(CallId(4_000_000)),
        };
        frames.push(ToHost::Acting { call: claim });
        frames.push(ask(number));
    }
    a.send_all(&frames).await;
    let (mut fine, mut failed) = (0, 0);
    while fine + failed < 12 {
        match a.returned().await.1 {
            Outcome::Failed { failure } => {
                assert_eq!(budget(&failure), ("subrequests", 3.0, 2.0));
                failed += 1;
            }
            _ => fine += 1,
        }
    }
    assert_eq!((fine, failed), (6, 6));
    // What is left to whoever comes after all have ended: nothing.
    for call in calls {
        a.answer(call, "done").await;
    }
    for answer in answers {
        within(answer).await.unwrap().unwrap();
    }
    a.send(ask(50)).await;
    assert!(matches!(a.returned().await.1, Outcome::Failed { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_system_call_is_told_by_its_name() {
    let mut world = World::new();
    world.deploy(vec![worker("a", vec![]), worker("b", vec![])]);
    let answer = world.fetch("a");
    let (mut a, _) = world.started().await;
    // Only then, or either might start first.
    let other = world.fetch("b");
    let (mut b, _) = world.started().await;
    a.invoke().await;
    a.send(ToHost::Trapped { number: 257 }).await;
    let failure = within(answer).await.unwrap().unwrap_err();
    assert!(
        failure.message.contains("system call: openat"),
        "{failure:?}"
    );
    a.is_killed().await;
    // Whoever says so says it of itself.
    let (call, _) = b.invoke().await;
    b.answer(call, "alive").await;
    assert_eq!(text(within(other).await.unwrap()).await, "alive");
}

#[tokio::test(flavor = "multi_thread")]
async fn subrequests_above_the_limit_fail_and_the_guest_lives() {
    let mut world = World::new();
    let mut limited = worker("a", vec![]);
    limited.limits.sub_requests = Some(1);
    world.deploy(vec![limited]);
    drop(world.fetch("a"));
    let (mut a, start) = world.started().await;
    a.invoke().await;
    for call in [1, 2] {
        a.send(ToHost::Call {
            call: CallId(call),
            cap: start.outbound.unwrap(),
            event: fetch_event(),
            result: None,
        })
        .await;
    }
    let (mut fine, mut failed) = (0, 0);
    while fine + failed < 2 {
        match a.recv().await {
            ToGuest::Return {
                outcome: Outcome::Failed { failure },
                ..
            } => {
                assert!(failure.message.contains("subrequests"), "{failure:?}");
                failed += 1;
            }
            ToGuest::Return { .. } => fine += 1,
            ToGuest::Cancel { .. } => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!((fine, failed), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_start_fails_those_who_wait_with_its_error() {
    let mut world = World::new();
    world.deploy(vec![worker("a", vec![])]);
    let answer = world.fetch("a");
    let mut a = world.guest().await;
    a.send(ToHost::StartFailed {
        failure: Failure::new(FailureKind::Exception {}, "SyntaxError", "no"),
    })
    .await;
    let failure = within(answer).await.unwrap().unwrap_err();
    assert_eq!(
        (failure.name.as_str(), failure.message.as_str()),
        ("SyntaxError", "no")
    );
    a.is_killed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tails_hear_what_happened_after_the_response() {
    let mut world = World::new();
    let mut tailed = worker("a", vec![]);
    tailed.tails = vec![target("t")];
    world.deploy(vec![tailed, worker("t", vec![])]);
    let answer = world.fetch("a");
    let (mut a, _) = world.started().await;
    let ToGuest::Traced { call: followed } = a.recv().await else {
        panic!("not told that it is followed");
    };
    let (call, _) = a.invoke().await;
    assert_eq!(followed, call);
    a.send_all(&[
        ToHost::Log {
            call: Some(call),
            level: LogLevel::Warn {},
            text: "careful".to_owned(),
            values: LogValues::Json {
                json: "[\"careful\",1]".to_owned(),
            },
        },
        ToHost::Return {
            call,
            outcome: response("ok"),
        },
        ToHost::Done { call },
    ])
    .await;
    assert_eq!(text(within(answer).await.unwrap()).await, "ok");
    let (mut t, _) = world.started().await;
    let (_, event) = t.invoke().await;
    let Event::Tail { items } = event else {
        panic!("not a tail");
    };
    for part in [
        "\"outcome\":\"ok\"",
        "\"message\":[\"careful\",1]",
        "\"level\":\"warn\"",
        "\"scriptName\":\"a\"",
        "\"status\":200",
    ] {
        assert!(items.contains(part), "{part} not in {items}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streaming_tail_gets_events_when_it_asks() {
    let mut world = World::new();
    let mut tailed = worker("a", vec![]);
    tailed.streaming_tails = vec![target("t")];
    world.deploy(vec![tailed, worker("t", vec![])]);
    let answer = world.fetch("a");
    let (mut a, _) = world.started().await;
    let (call, _) = a.invoke().await;
    let (mut t, _) = world.started().await;
    let (session, event) = t.invoke().await;
    let Event::TailStream { events: onset } = event else {
        panic!("not the begin of a stream");
    };
    assert!(onset.contains("\"type\":\"onset\"") && onset.contains("\"sequence\":0"));
    assert!(!onset.contains("\"sequence\":1"), "{onset}");
    let log = |text: &str| ToHost::Log {
        call: Some(call),
        level: LogLevel::Log {},
        text: text.to_owned(),
        values: LogValues::Text {},
    };
    a.send_all(&[log("one"), log("two")]).await;
    // What happened so far comes in one frame, and nothing more until it is asked for.
    t.send(ToHost::TailMore { call: session }).await;
    let events = async |t: &mut FakeGuest| match t.recv().await {
        ToGuest::TailEvents { call, events } => {
            assert_eq!(call, session);
            events
        }
        other => panic!("expected TailEvents, got {other:?}"),
    };
    let mut heard = events(&mut t).await;
    a.answer(call, "ok").await;
    assert_eq!(text(within(answer).await.unwrap()).await, "ok");
    // A late one of them may have missed the first frame.
    while !heard.contains("\"type\":\"outcome\"") {
        t.send(ToHost::TailMore { call: session }).await;
        heard.push_str(&events(&mut t).await);
    }
    let at = |part: &str| {
        let found = heard.find(part);
        found.unwrap_or_else(|| panic!("{part} not in {heard}"))
    };
    let order = [
        "[\"one\"]",
        "[\"two\"]",
        "\"type\":\"return\"",
        "\"type\":\"outcome\"",
    ]
    .map(at);
    assert!(order.is_sorted(), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streaming_tail_gets_all_of_a_short_invocation_in_one_frame() {
    let mut world = World::new();
    let mut tailed = worker("a", vec![]);
    tailed.streaming_tails = vec![target("t")];
    world.deploy(vec![tailed, worker("t", vec![])]);
    // That an invocation is over before anybody looks is likely, on a busy machine not sure.
    let mut whole = None;
    let mut t: Option<FakeGuest> = None;
    let mut a: Option<FakeGuest> = None;
    for _ in 0..50 {
        let answer = world.fetch("a");
        let a = match &mut a {
            Some(a) => a,
            none => none.insert(world.started_as("a").await),
        };
        let (call, _) = a.invoke().await;
        a.answer(call, "ok").await;
        within(answer).await.unwrap().unwrap();
        let t = match &mut t {
            Some(t) => t,
            none => none.insert(world.started_as("t").await),
        };
        let (session, event) = t.invoke().await;
        let Event::TailStream { events } = event else {
            panic!("not the begin of a stream");
        };
        t.send_all(&[
            ToHost::Return {
                call: session,
                outcome: Outcome::Nothing { no_retry: false },
            },
            ToHost::Done { call: session },
        ])
        .await;
        if events.contains("\"type\":\"outcome\"") {
            whole = Some(events);
            break;
        }
    }
    let whole = whole.expect("none of fifty was told whole");
    let parts = [
        "[{\"spanContext\"",
        "\"type\":\"onset\"",
        "\"type\":\"return\"",
        "\"type\":\"outcome\"",
    ];
    let at = parts.map(|part| {
        let found = whole.find(part);
        found.unwrap_or_else(|| panic!("{part} not in {whole}"))
    });
    assert!(at.is_sorted() && whole.ends_with("}]"), "{whole}");
    assert_eq!(whole.matches("\"sequence\":").count(), 3, "{whole}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_lets_what_is_under_way_finish() {
    let mut world = World::new();
    world.deploy(vec![worker("a", vec![])]);
    let answer = world.fetch("a");
    let (mut a, _) = world.started().await;
    let (call, _) = a.invoke().await;
    let service = world.supervisor.service("a", "").unwrap();
    let answering = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(30)).await;
        a.answer(call, "finished").await;
        a.is_killed().await;
    });
    within(world.supervisor.shutdown(WAIT)).await;
    assert_eq!(text(within(answer).await.unwrap()).await, "finished");
    within(answering).await.unwrap();
    assert!(service.fetch(request("/")).await.is_err());
}
