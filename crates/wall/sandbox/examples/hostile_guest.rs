//! A made-up guest binary for tests: a guest that was taken over completely.
//!
//! `mayfly serve --guest` starts it in the place of `mayfly-guest`. It speaks the host's protocol and
//! seals its forks with the same filter, limits and trap as the real one, and then does whatever the
//! path of a request says: `/syscall/<name>/<argument>...` makes a raw system call, `/frames/<kind>`
//! sends what no honest guest sends. There is no JavaScript and no namespace in it.
//!
//! It is an example and not a mode of the real binary, so that nothing of it can ship.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use mayfly_sandbox::fork::{Forked, ThreadCount, exit_now, fork_alone};
use mayfly_sandbox::packets;
use mayfly_sandbox::pidfd::{Pidfd, Reaped, Wait, reap};
use mayfly_sandbox::poll::{Interest, poll};
use mayfly_sandbox::seccomp::{Filter, Profile};
use mayfly_sandbox::signals::{self, ChildSignals};
use mayfly_sandbox::{
    Ended, Pid, ask, descriptors, libc_state, privileges, rlimits, syscall_names, trap,
};
use mayfly_wire::control::{End, FromZygote, Layer, ToZygote};
use mayfly_wire::*;

fn main() {
    let word = std::env::args().nth(1).unwrap_or_default();
    if word == "--version" {
        println!("{VERSION}");
        return;
    }
    let profile = Profile::from_word(&word).expect("a zygote's word");
    let control = descriptors::inherited_socket().expect("a control socket");
    let own = std::env::args().next().unwrap_or_default();
    let sealed = !own.ends_with(UNSEALED);
    zygote(&control, sealed.then_some(profile))
}

/// Under this name it has no filter and says so.
const UNSEALED: &str = "unsealed_guest";

// ---- the zygote, as far as the host needs one

fn send(control: &OwnedFd, message: &FromZygote, with: &[std::os::fd::BorrowedFd<'_>]) {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    let _ = packets::send(control.as_fd(), &bytes, with);
}

fn zygote(control: &OwnedFd, profile: Option<Profile>) -> ! {
    libc_state::use_one_arena();
    let threads = ThreadCount::open().expect("procfs");
    let signals = ChildSignals::open().expect("a signalfd");
    privileges::forbid_new_privileges().expect("no new privileges");
    let ready = FromZygote::Ready {
        version: VERSION.to_owned(),
        layers: vec![Layer {
            name: "seccomp".to_owned(),
            active: profile.is_some(),
            reason: String::new(),
        }],
        threads: 1,
    };
    send(control, &ready, &[]);
    let mut children = BTreeSet::new();
    loop {
        let waiting = [
            (control.as_fd(), Interest::Read),
            (signals.as_fd(), Interest::Read),
        ];
        let [asked, ended] = poll(waiting, None).expect("poll");
        if ended.read {
            signals.clear();
            while let Ok(Reaped::Child(pid, ended, cpu)) = reap(Wait::Poll) {
                children.remove(&pid);
                let end = match ended {
                    Ended::Exit(code) => End::Exit { code },
                    Ended::Signal(signal) => End::Signal { signal },
                };
                let pid = pid.0.unsigned_abs();
                let cpu_us = u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX);
                send(control, &FromZygote::Exited { pid, end, cpu_us }, &[]);
            }
        }
        if asked.read {
            let Ok(Some(packet)) = packets::receive(control.as_fd()) else {
                exit_now(0)
            };
            if let Ok(ToZygote::Fork { count }) = read_frame(&packet.bytes) {
                for _ in 0..count {
                    children.extend(fork(control, &threads, profile));
                }
            }
        }
    }
}

fn fork(control: &OwnedFd, threads: &ThreadCount, profile: Option<Profile>) -> Option<Pid> {
    let (host_end, guest_end) = UnixStream::pair().expect("a socket pair");
    match fork_alone(threads).expect("a fork") {
        Forked::Child => {
            drop(host_end);
            guest(guest_end, profile)
        }
        Forked::Parent(pid) => {
            drop(guest_end);
            let pidfd = Pidfd::open(pid).ok()?;
            let forked = FromZygote::Forked {
                pid: pid.0.unsigned_abs(),
            };
            send(control, &forked, &[host_end.as_fd(), pidfd.as_fd()]);
            Some(pid)
        }
    }
}

// ---- the guest

fn guest(socket: UnixStream, profile: Option<Profile>) -> ! {
    let mut head = Vec::new();
    write_frame(&ToHost::Trapped { number: 0 }, &mut head);
    signals::reset().expect("signals");
    let socket = descriptors::move_to_socket(OwnedFd::from(socket)).expect("a socket");
    descriptors::close_from(descriptors::SOCKET + 1).expect("closing");
    rlimits::apply().expect("limits");
    descriptors::silence_errors().expect("silence");
    trap::report(head[..trap::HEAD_BYTES].try_into().expect("a head")).expect("a handler");
    // As a guest has it: the host asks by a signal, and this one never says that it is ready.
    ask::answer_with(head[..ask::ANSWER_BYTES].try_into().expect("a head")).expect("a handler");
    if let Some(profile) = profile {
        Filter::compile(profile)
            .and_then(|filter| filter.seal())
            .expect("a filter");
    }
    let mut socket = File::from(socket);
    loop {
        match receive(&mut socket) {
            Some(ToGuest::Start { .. }) => {
                let entrypoints = vec![Entrypoint {
                    name: "default".to_owned(),
                    kind: EntrypointKind::Object {},
                    handlers: vec!["fetch".to_owned()],
                }];
                say(&mut socket, &ToHost::Started { entrypoints });
            }
            Some(ToGuest::Invoke {
                call,
                event: Event::Fetch { request, .. },
                ..
            }) => {
                let path = request
                    .url
                    .splitn(4, '/')
                    .nth(3)
                    .unwrap_or_default()
                    .to_owned();
                let text = attack(&mut socket, &path);
                answer(&mut socket, call, &text);
            }
            Some(_) => {}
            None => exit_now(0),
        }
    }
}

fn receive(socket: &mut File) -> Option<ToGuest> {
    let mut prefix = [0; LENGTH_BYTES];
    socket.read_exact(&mut prefix).ok()?;
    let mut body = vec![0; frame_length(prefix).ok()?];
    socket.read_exact(&mut body).ok()?;
    read_frame(&body).ok()
}

fn say(socket: &mut File, frame: &ToHost) {
    let mut bytes = Vec::new();
    write_frame(frame, &mut bytes);
    if socket.write_all(&bytes).is_err() {
        exit_now(0);
    }
}

fn answer(socket: &mut File, call: CallId, text: &str) {
    let head = ResponseHead {
        status: 200,
        status_text: String::new(),
        headers: Vec::new(),
        url: String::new(),
        redirected: false,
        encoded: false,
    };
    let body = Body::Inline {
        bytes: Blob(text.as_bytes().to_vec()),
    };
    let outcome = Outcome::Response {
        head: Box::new(head),
        body,
    };
    say(socket, &ToHost::Return { call, outcome });
    say(socket, &ToHost::Done { call });
}

fn attack(socket: &mut File, path: &str) -> String {
    let mut words = path.split('/');
    match (words.next(), words.next()) {
        (Some("syscall"), Some(name)) => {
            let arguments: Vec<u64> = words.map(|word| word.parse().unwrap_or(0)).collect();
            raw(name, &arguments)
        }
        (Some("frames"), Some(kind)) => frames(socket, kind),
        (Some("threads"), _) => {
            for _ in 0..64 {
                std::thread::spawn(|| {
                    loop {
                        std::hint::spin_loop();
                    }
                });
            }
            loop {
                std::hint::spin_loop();
            }
        }
        _ => "unharmed".to_owned(),
    }
}

fn raw(name: &str, arguments: &[u64]) -> String {
    let Some(number) = syscall_names::number(name) else {
        return format!("there is no {name}");
    };
    let at = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: none at all is claimed: this process stands for one in an attacker's hands. The paths
    // that tests use pass no address of this process's own memory.
    let result = unsafe {
        libc::syscall(
            libc::c_long::from(number),
            at(0),
            at(1),
            at(2),
            at(3),
            at(4),
            at(5),
        )
    };
    let error = std::io::Error::last_os_error();
    match result {
        -1 => format!("failed: {error}"),
        result => format!("returned {result}"),
    }
}

fn frames(socket: &mut File, kind: &str) -> String {
    let chatter = ToHost::Log {
        call: None,
        level: LogLevel::Log {},
        text: "x".repeat(100),
        values: LogValues::Text {},
    };
    match kind {
        // Random bytes, a length beyond every bound, half a frame and the end.
        "garbage" => drop(socket.write_all(&[0x5a; 4096])),
        "gigantic" => drop(socket.write_all(&[0xff, 0xff, 0xff, 0xff, 1])),
        "half" => {
            let _ = socket.write_all(&[200, 0, 0, 0, 18]);
            exit_now(0)
        }
        "unknown" => drop(socket.write_all(&[1, 0, 0, 0, 250])),
        "unheld" => say(socket, &ToHost::ReleaseCap { cap: CapId(77_777) }),
        "twice" => say(
            socket,
            &ToHost::Done {
                call: CallId(4_000_000),
            },
        ),
        "forged" => {
            let number = syscall_names::number("execve").unwrap_or(0);
            say(socket, &ToHost::Trapped { number });
        }
        "flood" => loop {
            say(socket, &chatter);
        },
        "calls" => {
            for call in 0.. {
                let event = Event::Rpc {
                    path: vec!["x".to_owned()],
                    args: None,
                };
                say(
                    socket,
                    &ToHost::Call {
                        call: CallId(call),
                        cap: CapId(2),
                        event,
                        result: None,
                    },
                );
            }
        }
        "streams" => {
            for stream in (1..).step_by(2) {
                let bytes = Blob(vec![0; 65_536]);
                let stream = StreamId(stream);
                say(socket, &ToHost::StreamData { stream, bytes });
            }
        }
        _ => return "no such attack".to_owned(),
    }
    "unharmed".to_owned()
}
