//! The zygote: the engine and the platform, warm, locked down, forking.
//!
//! Everything slow or secretless happens before `Ready`; afterwards it only forks, hands each child's
//! socket and pidfd to the host, and reaps. It never reads a Worker's code and never evaluates
//! JavaScript again.
//!
//! Invariants: one thread at every fork (the sandbox crate counts them and refuses otherwise); the
//! zygote keeps no descriptor of a child once the host has it; when the control socket closes, no
//! child outlives the zygote.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use mayfly_engine::{Engine, EngineOptions};
use mayfly_sandbox::fork::{Forked, ThreadCount, exit_now, fork_alone};
use mayfly_sandbox::mailbox;
use mayfly_sandbox::namespaces::{self, Layer};
use mayfly_sandbox::near;
use mayfly_sandbox::packets::{self, Packet};
use mayfly_sandbox::pages::{self, PageRuns};
use mayfly_sandbox::pidfd::{Pidfd, Reaped, Wait, reap};
use mayfly_sandbox::poll::{self, Interest};
use mayfly_sandbox::seccomp::{self, Filter, Jit, Profile};
use mayfly_sandbox::signals::ChildSignals;
use mayfly_sandbox::{
    Ended, Pid, descriptors, landlock, libc_state, privileges, process_stat, text,
};
use mayfly_wire::bounds::FORK_COUNT_MAX;
use mayfly_wire::control::{self, End, FromZygote, ToZygote};
use mayfly_wire::{Wire, read_frame};

use crate::guest::GuestEngine;
use crate::guest::{self, Seed};
use crate::platform;
use crate::rehearsal::{self, JITLESS_ROUNDS, rehearse};
use crate::state::GuestState;
use crate::{exit, wire_ops};

/// Bytes that a guest's socket holds each way: room for a window of a stream, so that its writer is woken
/// once for it. The system may allow less.
const SOCKET_BYTES: i32 = 512 * 1024;

/// Says why there will be no zygote, and ends the process.
pub fn unready(control: &OwnedFd, error: &dyn Error) -> ! {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    // If the host is gone too there is nobody to tell.
    let _ = send(control, &FromZygote::Unready { error: text }, &[]);
    exit_now(exit::UNREADY)
}

/// Becomes ready, then serves the host until it lets go.
pub fn run(control: OwnedFd, layers: Vec<Layer>, profile: Profile) -> ! {
    match prepare(&control, layers, profile) {
        Ok((engine, nursery)) => serve(control, engine, nursery),
        Err(error) => unready(&control, &*error),
    }
}

/// What a ready zygote forks with.
struct Nursery {
    threads: ThreadCount,
    filter: Option<Filter>,
    signals: ChildSignals,
    /// Writable memory at the first fork.
    data_bytes: u64,
    /// What a start writes.
    warm_pages: Arc<PageRuns>,
    children: BTreeSet<Pid>,
    retired: bool,
}

fn prepare(
    control: &OwnedFd,
    mut layers: Vec<Layer>,
    profile: Profile,
) -> Result<(GuestEngine, Nursery), Box<dyn Error>> {
    privileges::die_with_parent()?;
    let threads = ThreadCount::open()?;
    // Only speed is lost without it.
    let _ = text::make_private();
    let mut engine = boot(profile.jit)?;
    let count = threads.read()?;
    // Only speed is lost without it. The process reads its own pages for it; below it forbids that to
    // everybody.
    let _ = privileges::allow_inspection().map(|()| pages::make_huge());
    // Only speed is lost without it.
    let warm_pages = learn_pages(&mut engine, &threads).unwrap_or_default();
    let data_bytes = process_stat::data_bytes()?;
    let filter = Filter::compile(profile);
    // The engine has read what it needs of the file system; nothing does from here on.
    layers.push(namespaces::empty_root(&layers));
    layers.push(Layer::of(
        "no capabilities",
        privileges::drop_capabilities(),
    ));
    layers.push(Layer::of(
        "no new privileges",
        privileges::forbid_new_privileges(),
    ));
    layers.push(Layer::of("no inspection", privileges::forbid_inspection()));
    layers.push(landlock::refuse_all());
    let seccomp = seccomp::layer(&filter);
    let filter = filter.ok().filter(|_| seccomp.active);
    layers.push(seccomp);
    let nursery = Nursery {
        threads,
        filter,
        signals: ChildSignals::open()?,
        data_bytes,
        warm_pages: Arc::new(warm_pages),
        children: BTreeSet::new(),
        retired: false,
    };
    let ready = FromZygote::Ready {
        version: mayfly_wire::VERSION.to_owned(),
        layers: layers.into_iter().map(wire_layer).collect(),
        threads: count,
    };
    send(control, &ready, &[])?;
    Ok((engine, nursery))
}

fn boot(jit: Jit) -> Result<GuestEngine, Box<dyn Error>> {
    let mut ops = mayfly_ops::declarations::<GuestState>();
    ops.extend(wire_ops::declarations());
    let options = EngineOptions {
        jit: jit == Jit::On,
        ..EngineOptions::default()
    };
    // Only memory and speed are lost without it.
    let together = near::keep_together();
    let mut engine = Engine::new(options, GuestState::default(), ops)?;
    engine
        .evaluate_platform(platform::PLATFORM, platform::ENTRY)
        .map_err(|error| format!("evaluate the platform: {error}"))?;
    // Packing throws compiled code away, so it goes before the rehearsal that makes some.
    engine.compact();
    // What the rehearsal allocates is what a start writes: side by side, not in holes over all pages.
    libc_state::fill_heap_holes();
    match jit {
        Jit::On => rehearsal::prepare(&mut engine),
        Jit::Off => rehearse(&mut engine, JITLESS_ROUNDS),
    }
    engine.prepare_fork();
    libc_state::give_back_free_pages();
    libc_state::fill_heap_holes();
    drop(together);
    Ok(engine)
}

/// The pages that a start writes, from a fork that rehearses one, tells, and ends.
fn learn_pages(
    engine: &mut GuestEngine,
    threads: &ThreadCount,
) -> Result<PageRuns, Box<dyn Error>> {
    let (mut told, mut tell) = std::io::pipe()?;
    match fork_alone(threads)? {
        Forked::Child => {
            engine.after_fork();
            rehearse(engine, 1);
            let _ = privileges::allow_inspection();
            let runs = pages::own_pages().unwrap_or_default();
            let _ = tell.write_all(&runs.to_bytes());
            exit_now(exit::DONE)
        }
        Forked::Parent(pid) => {
            drop(tell);
            let mut bytes = Vec::new();
            told.read_to_end(&mut bytes)?;
            Pidfd::open(pid)?.wait()?;
            Ok(PageRuns::from_bytes(&bytes))
        }
    }
}

fn wire_layer(layer: Layer) -> control::Layer {
    control::Layer {
        name: layer.name.to_owned(),
        active: layer.active,
        reason: layer.reason,
    }
}

fn send(
    control: &OwnedFd,
    message: &FromZygote,
    descriptors: &[std::os::fd::BorrowedFd<'_>],
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    packets::send(control.as_fd(), &bytes, descriptors)
}

/// What can happen to a zygote.
enum Happening {
    Asked(ToZygote),
    ChildrenEnded,
    HostGone,
}

fn serve(control: OwnedFd, mut engine: GuestEngine, mut nursery: Nursery) -> ! {
    loop {
        match next(&control, &nursery) {
            Happening::Asked(ToZygote::Fork { count }) => {
                for _ in 0..count.min(FORK_COUNT_MAX) {
                    match nursery.fork(&control) {
                        Ok(None) => {}
                        Ok(Some(seed)) => guest::run(engine, seed),
                        Err(error) => {
                            let error = error.to_string();
                            let _ = send(&control, &FromZygote::ForkFailed { error }, &[]);
                        }
                    }
                }
            }
            Happening::Asked(ToZygote::Retire {}) => nursery.retired = true,
            Happening::ChildrenEnded => nursery.reap(&control),
            Happening::HostGone => nursery.end(),
        }
        if nursery.retired && nursery.children.is_empty() {
            exit_now(exit::DONE);
        }
        // The engine is only kept for the forks to come.
        let _ = &mut engine;
    }
}

fn next(control: &OwnedFd, nursery: &Nursery) -> Happening {
    loop {
        let descriptors = [
            (control.as_fd(), Interest::Read),
            (nursery.signals.as_fd(), Interest::Read),
        ];
        match poll::poll(descriptors, None) {
            // Ends first: they make room for forks.
            Ok([_, children]) if children.read => return Happening::ChildrenEnded,
            Ok([asked, _]) if asked.read => match packets::receive(control.as_fd()) {
                Ok(Some(Packet { bytes, .. })) => match read_frame(&bytes) {
                    Ok(message) => return Happening::Asked(message),
                    // The host is of another version, or not the host.
                    Err(_) => return Happening::HostGone,
                },
                Ok(None) | Err(_) => return Happening::HostGone,
            },
            Ok(_) => {}
            Err(_) => return Happening::HostGone,
        }
    }
}

impl Nursery {
    /// Forks one guest and hands it to the host. In the child: what it begins with.
    fn fork(&mut self, control: &OwnedFd) -> Result<Option<Seed>, Box<dyn Error>> {
        if self.retired {
            return Err("the zygote is retired".into());
        }
        let (host_end, guest_end) = UnixStream::pair()?;
        for end in [&host_end, &guest_end] {
            descriptors::widen(end.as_fd(), SOCKET_BYTES)?;
        }
        // Only speed is lost without it.
        let mailbox = mailbox::create().ok();
        match fork_alone(&self.threads)? {
            Forked::Child => {
                drop(host_end);
                Ok(Some(Seed {
                    socket: guest_end,
                    mailbox,
                    filter: self.filter.take(),
                    data_bytes: self.data_bytes,
                    warm_pages: Arc::clone(&self.warm_pages),
                }))
            }
            Forked::Parent(pid) => {
                drop(guest_end);
                self.children.insert(pid);
                // The child is not reaped yet, so the number can only mean it. Without a pidfd the
                // host could not watch it; dropping `host_end` then ends it.
                let pidfd = Pidfd::open(pid)?;
                let number = u32::try_from(pid.0)?;
                let forked = FromZygote::Forked { pid: number };
                let descriptors = [host_end.as_fd(), pidfd.as_fd()];
                let mailbox = mailbox.as_ref().map(OwnedFd::as_fd);
                let descriptors: Vec<_> = descriptors.into_iter().chain(mailbox).collect();
                send(control, &forked, &descriptors)?;
                Ok(None)
            }
        }
    }

    fn reap(&mut self, control: &OwnedFd) {
        self.signals.clear();
        while let Ok(Reaped::Child(pid, ended, cpu)) = reap(Wait::Poll) {
            if !self.children.remove(&pid) {
                continue;
            }
            let exited = FromZygote::Exited {
                pid: u32::try_from(pid.0).unwrap_or(0),
                end: match ended {
                    Ended::Exit(code) => End::Exit { code },
                    Ended::Signal(signal) => End::Signal { signal },
                },
                cpu_us: u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX),
            };
            // If the host is gone, the next look at the control socket says so.
            let _ = send(control, &exited, &[]);
        }
    }

    /// Ends every child, then the zygote.
    fn end(&mut self) -> ! {
        for pid in &self.children {
            // Not reaped, so the number can only mean this child.
            if let Ok(pidfd) = Pidfd::open(*pid) {
                let _ = pidfd.kill();
            }
        }
        exit_now(exit::DONE)
    }
}
