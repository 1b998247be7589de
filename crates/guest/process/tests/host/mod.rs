//! A host for tests: starts a zygote, forks guests, speaks frames. Every wait is bounded.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_sandbox::Pid;
use mayfly_sandbox::mailbox::{Mailbox, Side};
use mayfly_sandbox::packets::{self, Packet};
use mayfly_sandbox::pidfd::Pidfd;
use mayfly_sandbox::poll::{Interest, poll};
use mayfly_sandbox::seccomp::Profile;
use mayfly_sandbox::spawn::spawn_zygote;
use mayfly_wire::control::{End, FromZygote, Layer, ToZygote};
use mayfly_wire::*;

/// Longest any one step may take, on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What a Worker gets by default.
pub const HEAP_BYTES_MAX: u64 = 128 * 1024 * 1024;

pub struct Ready {
    pub version: String,
    pub layers: Vec<Layer>,
    pub threads: u32,
}

pub struct Host {
    pub launcher: Child,
    control: Option<OwnedFd>,
    pub ready: Ready,
    /// `Exited` packets that came while another was awaited.
    exited: Vec<(u32, End)>,
}

impl Host {
    pub fn start() -> Self {
        Self::start_as(Profile::WORKER)
    }

    pub fn start_as(profile: Profile) -> Self {
        // Not there for the bench, which uses this file too.
        let binary = option_env!("CARGO_BIN_EXE_mayfly-guest");
        let binary = binary.expect("cargo builds it for this crate's tests");
        Self::start_binary(Path::new(binary), profile)
    }

    pub fn start_binary(binary: &Path, profile: Profile) -> Self {
        let zygote = spawn_zygote(binary, profile).unwrap();
        let mut host = Self {
            launcher: zygote.launcher,
            control: Some(zygote.control),
            ready: Ready {
                version: String::new(),
                layers: vec![],
                threads: 0,
            },
            exited: vec![],
        };
        match host.receive() {
            Some((
                FromZygote::Ready {
                    version,
                    layers,
                    threads,
                },
                _,
            )) => {
                host.ready = Ready {
                    version,
                    layers,
                    threads,
                };
            }
            other => panic!("not ready: {other:?}"),
        }
        host
    }

    pub fn ask(&self, message: &ToZygote) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        packets::send(self.control.as_ref().unwrap().as_fd(), &bytes, &[]).unwrap();
    }

    fn receive(&self) -> Option<(FromZygote, Vec<OwnedFd>)> {
        let control = self.control.as_ref().unwrap().as_fd();
        let [ready] = poll([(control, Interest::Read)], Some(WAIT_MAX)).unwrap();
        assert!(ready.read, "the zygote is silent");
        let Packet { bytes, descriptors } = packets::receive(control).unwrap()?;
        Some((read_frame(&bytes).unwrap(), descriptors))
    }

    pub fn fork(&mut self) -> Guest {
        self.fork_many(1).remove(0)
    }

    pub fn fork_many(&mut self, count: u32) -> Vec<Guest> {
        self.ask(&ToZygote::Fork { count });
        let mut guests = Vec::new();
        while guests.len() < count as usize {
            match self.receive() {
                Some((FromZygote::Forked { pid }, descriptors)) => {
                    let [socket, pidfd, mailbox]: [OwnedFd; 3] = descriptors.try_into().unwrap();
                    guests.push(Guest {
                        pid,
                        socket: File::from(socket),
                        pidfd: pidfd.into(),
                        mailbox: Mailbox::map(mailbox.as_fd(), Side::Host).unwrap(),
                        sent: 0,
                        heard: 0,
                    });
                }
                Some((FromZygote::Exited { pid, end, .. }, _)) => self.exited.push((pid, end)),
                other => panic!("not forked: {other:?}"),
            }
        }
        guests
    }

    /// A guest that runs `code`, started.
    pub fn started(&mut self, code: &str) -> Guest {
        let mut guest = self.fork();
        guest.send(&start(code));
        match guest.receive() {
            Some(ToHost::Started { .. }) => guest,
            other => panic!("not started: {other:?}"),
        }
    }

    /// Waits for the end of a guest.
    pub fn exited(&mut self, guest: u32) -> End {
        loop {
            if let Some(at) = self.exited.iter().position(|(pid, _)| *pid == guest) {
                return self.exited.remove(at).1;
            }
            match self.receive() {
                Some((FromZygote::Exited { pid, end, .. }, _)) => self.exited.push((pid, end)),
                other => panic!("not exited: {other:?}"),
            }
        }
    }

    pub fn fork_failed(&mut self) -> String {
        match self.receive() {
            Some((FromZygote::ForkFailed { error }, _)) => error,
            other => panic!("not failed: {other:?}"),
        }
    }

    pub fn close_control(&mut self) {
        self.control = None;
    }

    pub fn wait_for_end_of_control(&self) {
        while self.receive().is_some() {}
    }

    pub fn launcher_ends(&mut self) {
        let deadline = Instant::now() + WAIT_MAX;
        while self.launcher.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the launcher lives on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The launcher's only child is the init, and the init's first child the zygote.
    pub fn zygote_pid(&self) -> Pid {
        let child_of = |pid: i32| -> i32 {
            let path = format!("/proc/{pid}/task/{pid}/children");
            let children = std::fs::read_to_string(path).unwrap();
            children.split_whitespace().next().unwrap().parse().unwrap()
        };
        Pid(child_of(child_of(
            i32::try_from(self.launcher.id()).unwrap(),
        )))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.launcher.kill();
        let _ = self.launcher.wait();
    }
}

pub struct Guest {
    /// As the zygote counts.
    pub pid: u32,
    pub socket: File,
    pub pidfd: Pidfd,
    pub mailbox: Mailbox,
    /// Bytes that went through the socket, either way.
    pub sent: u64,
    pub heard: u64,
}

impl Guest {
    pub fn send(&mut self, frame: &ToGuest) {
        assert!(self.try_send(frame), "the guest has ended");
    }

    /// `false` when the guest has ended.
    pub fn try_send(&mut self, frame: &ToGuest) -> bool {
        let mut bytes = Vec::new();
        write_frame(frame, &mut bytes);
        self.try_send_bytes(&bytes)
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        assert!(self.try_send_bytes(bytes), "the guest has ended");
    }

    fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.sent += bytes.len() as u64;
        self.socket.write_all(bytes).is_ok()
    }

    /// The next frame; `None` when the guest has ended.
    pub fn receive(&mut self) -> Option<ToHost> {
        let mut prefix = [0; LENGTH_BYTES];
        if !self.read_exact(&mut prefix) {
            return None;
        }
        let mut body = vec![0; frame_length(prefix).unwrap()];
        assert!(self.read_exact(&mut body), "cut frame");
        Some(read_frame(&body).unwrap())
    }

    fn read_exact(&mut self, mut bytes: &mut [u8]) -> bool {
        while !bytes.is_empty() {
            let [ready] = poll([(self.socket.as_fd(), Interest::Read)], Some(WAIT_MAX)).unwrap();
            assert!(ready.read, "the guest is silent");
            match self.socket.read(bytes) {
                Ok(0) => return false,
                Ok(count) => {
                    self.heard += count as u64;
                    bytes = &mut bytes[count..];
                }
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return false,
                Err(error) => panic!("{error}"),
            }
        }
        true
    }

    /// Fetches and gives the body of the response.
    pub fn fetch(&mut self, url: &str) -> String {
        self.try_fetch(url).expect("the guest ended")
    }

    /// The same; `None` where the guest ends instead.
    pub fn try_fetch(&mut self, url: &str) -> Option<String> {
        if !self.try_send(&fetch(7, url)) {
            return None;
        }
        let mut answer = None;
        loop {
            match self.receive() {
                Some(ToHost::Return {
                    call: CallId(7),
                    outcome,
                }) => match outcome {
                    Outcome::Response { body, .. } => answer = Some(text(&body)),
                    other => panic!("{other:?}"),
                },
                Some(ToHost::Done { call: CallId(7) }) => return answer,
                Some(ToHost::Trapped { .. }) | None => return None,
                Some(_) => {}
            }
        }
    }

    /// A file of the guest in the host's `/proc`.
    pub fn proc(&self, file: &str) -> PathBuf {
        let pid = self.pidfd.pid().unwrap().unwrap();
        format!("/proc/{}/{file}", pid.0).into()
    }
}

pub fn start(code: &str) -> ToGuest {
    start_with(code, vec![], HEAP_BYTES_MAX)
}

/// With more modules beside `main.js`.
pub fn start_with(code: &str, mut modules: Vec<Module>, heap_bytes_max: u64) -> ToGuest {
    modules.push(Module {
        name: "main.js".to_owned(),
        kind: ModuleKind::Js {},
        content: Blob(code.as_bytes().to_vec()),
    });
    ToGuest::Start {
        start: Box::new(Start {
            name: "test".to_owned(),
            modules,
            main_module: "main.js".to_owned(),
            compatibility_flags: vec!["enable_weak_ref".to_owned()],
            env: Env::Bindings { bindings: vec![] },
            outbound: None,
            limits: Limits::NONE,
            actors: vec![],
            heap_bytes_max,
            collect_always: false,
            compiled: vec![],
        }),
    }
}

pub fn fetch(call: u32, url: &str) -> ToGuest {
    ToGuest::Invoke {
        call: CallId(call),
        entrypoint: String::new(),
        props: Payload::empty(),
        event: Event::Fetch {
            request: Arc::new(RequestHead {
                method: "GET".to_owned(),
                url: url.to_owned(),
                headers: vec![],
                redirect: Redirect::Follow {},
                cf: String::new(),
                encoded: false,
            }),
            body: Body::Empty {},
        },
    }
}

pub fn text(body: &Body) -> String {
    match body {
        Body::Empty {} => String::new(),
        Body::Inline { bytes } => String::from_utf8(bytes.0.clone()).unwrap(),
        _ => panic!("a stream"),
    }
}
