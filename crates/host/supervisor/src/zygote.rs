//! Zygotes: starting them, asking them for forks, hearing how guests ended, replacing them.
//!
//! One task a zygote talks on its control socket; one manager keeps a current zygote, retires it
//! after so many children or minutes (its successor is ready before it stops), and starts a new one
//! where it died. Guests of a retired zygote go on. It does not know what guests do (`guest`) nor
//! how many are wanted (`pool`).
//!
//! Invariant: every fork asked for ends as a guest in the pool or as a failed fork told to it.

use crate::bounds::{ZYGOTE_PAUSE_FIRST, ZYGOTE_PAUSE_MAX, ZYGOTE_READY_MAX};
use crate::ending::EndReason;
use crate::error::SupervisorError;
use crate::guest::Guest;
use crate::hub::Hub;
use crate::options::{Options, Sandbox};
use crate::pool::Nursery;
use crate::process::GuestProcess;
use crate::socket::Socket;
use crate::turn::Turn;
use mayfly_sandbox::Pid;
use mayfly_sandbox::packets::{self, Packet};
use mayfly_sandbox::pidfd::Pidfd;
use mayfly_sandbox::schedule::Urgency;
use mayfly_sandbox::seccomp::{Jit, Profile};
use mayfly_sandbox::spawn::spawn_zygote;
use mayfly_wire::bounds::FORK_COUNT_MAX;
use mayfly_wire::control::{FromZygote, Layer, ToZygote};
use mayfly_wire::{Failure, FailureKind, VERSION, Wire, read_frame};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Name of the layer without which untrusted code does not run.
const SECCOMP_LAYER: &str = "seccomp";

/// Starts that failed in a row before those who wait for a guest are refused.
const PATIENCE: u32 = 4;

/// How long a launcher may take to end once its socket is closed.
const LAUNCHER_WAIT: Duration = Duration::from_secs(2);

/// A zygote that is ready to fork.
pub(crate) struct ReadyZygote {
    control: UnixStream,
    launcher: Launcher,
    /// What its sandbox consists of.
    pub layers: Vec<Layer>,
}

/// The process that holds a zygote's namespace; ended and reaped when dropped.
struct Launcher(Option<Child>);

impl Drop for Launcher {
    fn drop(&mut self) {
        let Some(mut child) = self.0.take() else {
            return;
        };
        // Reaping may take as long as the kernel needs to tear a namespace down.
        std::thread::spawn(move || {
            let since = Instant::now();
            while since.elapsed() < LAUNCHER_WAIT {
                match child.try_wait() {
                    Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                    Ok(Some(_)) | Err(_) => return,
                }
            }
            let _ = child.kill();
            let _ = child.wait();
        });
    }
}

/// Starts a zygote and waits until it is ready.
pub(crate) async fn start(options: &Options, jit: Jit) -> Result<ReadyZygote, SupervisorError> {
    let path = &options.guest_binary;
    let profile = Profile { jit, without: None };
    let zygote = spawn_zygote(path, profile).map_err(|source| SupervisorError::Spawn {
        path: path.clone(),
        source,
    })?;
    let mut launcher = Launcher(Some(zygote.launcher));
    let control = control_socket(zygote.control).map_err(SupervisorError::Control)?;
    let packet = tokio::time::timeout(ZYGOTE_READY_MAX, receive(&control))
        .await
        .map_err(|_| SupervisorError::Slow {
            seconds: ZYGOTE_READY_MAX.as_secs(),
        })?
        .map_err(SupervisorError::Control)?;
    let Some(packet) = packet else {
        return Err(SupervisorError::EndedEarly {
            path: path.clone(),
            status: launcher.status(),
        });
    };
    match read_frame::<FromZygote>(&packet.bytes) {
        Ok(FromZygote::Ready {
            version,
            layers,
            threads,
        }) => {
            check(options, &version, &layers, threads)?;
            Ok(ReadyZygote {
                control,
                launcher,
                layers,
            })
        }
        Ok(FromZygote::Unready { error }) => Err(SupervisorError::Unready(error)),
        // A binary of another version may not even say so in frames of this one.
        Ok(_) | Err(_) => Err(SupervisorError::Unexpected),
    }
}

impl Launcher {
    fn status(&mut self) -> String {
        let Some(child) = &mut self.0 else {
            return "unknown".to_owned();
        };
        for _ in 0..50 {
            match child.try_wait() {
                Ok(Some(status)) => return status.to_string(),
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                Err(error) => return error.to_string(),
            }
        }
        "its control socket closed".to_owned()
    }
}

fn check(
    options: &Options,
    version: &str,
    layers: &[Layer],
    threads: u32,
) -> Result<(), SupervisorError> {
    if version != VERSION {
        return Err(SupervisorError::Version {
            guest: version.to_owned(),
            host: VERSION,
        });
    }
    if threads != 1 {
        return Err(SupervisorError::Threads(threads));
    }
    let seccomp = layers.iter().find(|layer| layer.name == SECCOMP_LAYER);
    let active = seccomp.is_some_and(|layer| layer.active);
    if !active && options.sandbox == Sandbox::Required {
        let reason = seccomp.map_or("not reported", |layer| layer.reason.as_str());
        return Err(SupervisorError::NoSandbox {
            reason: reason.to_owned(),
        });
    }
    Ok(())
}

/// Tokio's readiness for a packet socket. `UnixStream` is used for that alone: every packet is sent
/// and received by `packets`, never by the stream's own calls, which would lose borders and
/// descriptors.
fn control_socket(control: OwnedFd) -> io::Result<UnixStream> {
    packets::set_nonblocking(control.as_fd())?;
    UnixStream::from_std(std::os::unix::net::UnixStream::from(control))
}

async fn receive(control: &UnixStream) -> io::Result<Option<Packet>> {
    control
        .async_io(Interest::READABLE, || packets::receive(control.as_fd()))
        .await
}

async fn send(control: &UnixStream, message: &ToZygote) -> io::Result<()> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    control
        .async_io(Interest::WRITABLE, || {
            packets::send(control.as_fd(), &bytes, &[])
        })
        .await
}

/// The pool's door to the manager.
#[derive(Debug)]
pub(crate) struct ZygoteNursery(mpsc::UnboundedSender<usize>);

impl ZygoteNursery {
    /// A nursery and the requests that its manager serves.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<usize>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }
}

impl Nursery for ZygoteNursery {
    fn fork(&self, count: usize) {
        // Bounded by the pool's target. The manager ends with the supervisor only.
        let _ = self.0.send(count);
    }
}

/// A zygote's task as the manager knows it.
struct Running {
    jitless: bool,
    forks: mpsc::UnboundedSender<usize>,
    task: JoinHandle<()>,
    children: u32,
    since: Instant,
}

/// Keeps a zygote ready until `closing` says otherwise; then ends all of them.
pub(crate) async fn manage(
    hub: Arc<Hub>,
    first: ReadyZygote,
    mut wanted: mpsc::UnboundedReceiver<usize>,
    mut closing: watch::Receiver<bool>,
    jit: Jit,
) {
    let pool = hub.pool_of(jit == Jit::Off);
    let mut current = run(&hub, first, &closing, jit);
    let mut successor: Option<JoinHandle<Result<ReadyZygote, SupervisorError>>> = None;
    let mut retired: Vec<JoinHandle<()>> = Vec::new();
    loop {
        retired.retain(|task| !task.is_finished());
        tokio::select! {
            count = wanted.recv() => {
                let Some(count) = count else { break };
                current.fork(&hub, count);
                // The old one serves until the new one is ready.
                if successor.is_none() && current.is_old(&hub.options) {
                    let options = hub.options.clone();
                    successor = Some(hub.runtime.spawn(async move { start(&options, jit).await }));
                }
            }
            fresh = finished(&mut successor), if successor.is_some() => {
                successor = None;
                match fresh {
                    Ok(fresh) => {
                        let fresh = run(&hub, fresh, &closing, jit);
                        retired.push(std::mem::replace(&mut current, fresh).retire());
                    }
                    // The next fork tries again.
                    Err(error) => tracing::error!(%error, "cannot start a zygote"),
                }
            }
            _ = &mut current.task => {
                if *closing.borrow() {
                    break;
                }
                tracing::warn!("a zygote ended unexpectedly; starting another");
                match restart(&hub, &mut closing, jit).await {
                    Some(fresh) => current = run(&hub, fresh, &closing, jit),
                    None => break,
                }
                pool.refill();
            }
            _ = closing.changed() => break,
        }
    }
    if let Some(successor) = successor {
        successor.abort();
    }
    if !current.task.is_finished() {
        let _ = current.task.await;
    }
    for task in retired {
        let _ = task.await;
    }
}

async fn finished(
    task: &mut Option<JoinHandle<Result<ReadyZygote, SupervisorError>>>,
) -> Result<ReadyZygote, SupervisorError> {
    match task {
        Some(task) => match task.await {
            Ok(result) => result,
            Err(error) => Err(SupervisorError::Control(io::Error::other(error))),
        },
        None => std::future::pending().await,
    }
}

/// [`manage`] for a kind of guests that most machines never need: its first zygote starts when the
/// first guest is wanted.
pub(crate) async fn manage_on_demand(
    hub: Arc<Hub>,
    mut wanted: mpsc::UnboundedReceiver<usize>,
    mut closing: watch::Receiver<bool>,
) {
    let count = tokio::select! {
        count = wanted.recv() => count,
        _ = closing.changed() => None,
    };
    let Some(count) = count else { return };
    let Some(first) = restart(&hub, &mut closing, Jit::Off).await else {
        return;
    };
    // Asked for again, now that there is somebody to hear it.
    let pool = hub.pool_of(true);
    pool.fork_failed(count);
    pool.refill();
    manage(hub.clone(), first, wanted, closing, Jit::Off).await;
}

async fn restart(
    hub: &Arc<Hub>,
    closing: &mut watch::Receiver<bool>,
    jit: Jit,
) -> Option<ReadyZygote> {
    let mut pause = ZYGOTE_PAUSE_FIRST;
    let mut failures = 0;
    loop {
        match start(&hub.options, jit).await {
            Ok(zygote) => return Some(zygote),
            Err(error) => {
                failures += 1;
                tracing::error!(error = %error, "cannot start a zygote");
            }
        }
        if failures >= PATIENCE {
            let message = "no process can be started for a Worker; see the host's log";
            let failure = Failure::new(FailureKind::Internal {}, "Error", message);
            hub.pool_of(jit == Jit::Off)
                .refuse_all(&mut Turn::new(), &failure, false);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = closing.changed() => return None,
        }
        pause = (pause * 2).min(ZYGOTE_PAUSE_MAX);
    }
}

impl Running {
    fn is_old(&self, options: &Options) -> bool {
        self.children >= options.zygote_children_max
            || self.since.elapsed() >= options.zygote_age_max
    }

    fn fork(&mut self, hub: &Hub, count: usize) {
        self.children = self
            .children
            .saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        if self.forks.send(count).is_err() {
            hub.pool_of(self.jitless).fork_failed(count);
        }
    }

    /// Its task goes on until the last of its guests has ended.
    fn retire(self) -> JoinHandle<()> {
        self.task
    }
}

fn run(hub: &Arc<Hub>, zygote: ReadyZygote, closing: &watch::Receiver<bool>, jit: Jit) -> Running {
    let (sender, receiver) = mpsc::unbounded_channel();
    hub.counters.zygotes.fetch_add(1, Ordering::Relaxed);
    let jitless = jit == Jit::Off;
    let talk = Talk {
        jitless,
        hub: hub.clone(),
        control: zygote.control,
        guests: HashMap::new(),
        outstanding: 0,
        zygote: None,
        urgency: Urgency::Prompt,
    };
    let closing = closing.clone();
    let launcher = zygote.launcher;
    let task = hub.runtime.spawn(async move {
        talk.run(receiver, closing).await;
        drop(launcher);
    });
    Running {
        jitless,
        forks: sender,
        task,
        children: 0,
        since: Instant::now(),
    }
}

/// The conversation with one zygote.
struct Talk {
    jitless: bool,
    hub: Arc<Hub>,
    control: UnixStream,
    /// By the pid in the zygote's namespace.
    guests: HashMap<u32, Arc<Guest>>,
    /// Forks asked for and not answered.
    outstanding: usize,
    /// Its pid as this host sees it, from its first guest on.
    zygote: Option<Pid>,
    urgency: Urgency,
}

impl Talk {
    async fn run(
        mut self,
        mut forks: mpsc::UnboundedReceiver<usize>,
        mut closing: watch::Receiver<bool>,
    ) {
        let mut retired = false;
        loop {
            let result = tokio::select! {
                packet = receive(&self.control) => match packet {
                    Ok(Some(packet)) => self.heard(packet),
                    Ok(None) => break,
                    Err(error) => Err(error),
                },
                count = forks.recv(), if !retired => match count {
                    Some(count) => self.ask(count).await,
                    None => {
                        retired = true;
                        send(&self.control, &ToZygote::Retire {}).await
                    }
                },
                _ = closing.changed() => break,
            };
            if let Err(error) = result {
                tracing::error!(%error, "a zygote's control socket failed");
                break;
            }
        }
        // Forks still asked for by the pool will not come from here.
        forks.close();
        while let Ok(count) = forks.try_recv() {
            self.outstanding += count;
        }
        self.hub.pool_of(self.jitless).fork_failed(self.outstanding);
    }

    async fn ask(&mut self, mut count: usize) -> io::Result<()> {
        self.schedule();
        self.outstanding += count;
        while count > 0 {
            let part = u32::try_from(count)
                .unwrap_or(FORK_COUNT_MAX)
                .min(FORK_COUNT_MAX);
            send(&self.control, &ToZygote::Fork { count: part }).await?;
            count -= part as usize;
        }
        Ok(())
    }

    /// Forks that nobody waits for give way to Workers: a burst of them would be in everybody's way.
    fn schedule(&mut self) {
        let urgency = match self.hub.pool_of(self.jitless).is_waited_for() {
            true => Urgency::Prompt,
            false => Urgency::Patient,
        };
        if let Some(zygote) = self.zygote
            && self.urgency != urgency
        {
            self.urgency = urgency;
            // Only speed is lost without it, and the next packet tells of a zygote that has ended.
            let _ = urgency.apply_to_first(zygote);
        }
    }

    fn heard(&mut self, packet: Packet) -> io::Result<()> {
        let message = read_frame::<FromZygote>(&packet.bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        match message {
            FromZygote::Forked { pid } => {
                self.outstanding = self.outstanding.saturating_sub(1);
                match self.adopt(packet.descriptors) {
                    Ok(guest) => {
                        self.guests.insert(pid, guest);
                    }
                    Err(error) => {
                        tracing::error!(%error, "a forked guest cannot be taken in");
                        self.hub.pool_of(self.jitless).fork_failed(1);
                    }
                }
            }
            FromZygote::Exited { pid, end, cpu_us } => {
                if let Some(guest) = self.guests.remove(&pid) {
                    guest.exited(EndReason::from(end), Duration::from_micros(cpu_us));
                }
            }
            FromZygote::ForkFailed { error } => {
                // The next sweep asks again.
                tracing::error!(%error, "a fork failed");
                self.outstanding = self.outstanding.saturating_sub(1);
                self.hub.pool_of(self.jitless).fork_failed(1);
            }
            FromZygote::Ready { .. } | FromZygote::Unready { .. } => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a second Ready"));
            }
        }
        Ok(())
    }

    fn adopt(&mut self, descriptors: Vec<OwnedFd>) -> io::Result<Arc<Guest>> {
        let mut descriptors = descriptors.into_iter();
        let (Some(socket), Some(pidfd)) = (descriptors.next(), descriptors.next()) else {
            let error = "Forked without descriptors";
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        };
        let mailbox = descriptors.next();
        let socket = Socket::new(std::os::unix::net::UnixStream::from(socket))?;
        let process = Arc::new(GuestProcess::new(Pidfd::from(pidfd), mailbox));
        // Once the zygote has been patient, any guest of it may be so.
        let urgency = match self.zygote {
            Some(_) => Urgency::Patient,
            None => Urgency::Prompt,
        };
        self.zygote = self.zygote.or_else(|| process.parent());
        let guest = self.hub.adopt_as(socket, process, self.jitless, urgency);
        Ok(guest)
    }
}
