//! From `exec` to the zygote: three processes, two of them tiny and forked before the engine starts.
//!
//! - The *launcher*, a child of the host, stays outside every namespace. It ends when its child does,
//!   and kills it when the host ends, however the host ends.
//! - The *init*, pid 1 of a pid namespace where the kernel gives one, reaps what its zygote leaves
//!   behind. It lives until the last guest has ended, also when the zygote dies before. Its own end
//!   ends everything in the namespace.
//! - The *zygote*, see there.
//!
//! Killing launcher or init therefore leaves nothing behind; killing the zygote leaves its guests.

use std::fs::OpenOptions;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::parent_id;

use mayfly_sandbox::fork::{Forked, ThreadCount, exit_now, fork_alone};
use mayfly_sandbox::namespaces::{self, Descent, Layer};
use mayfly_sandbox::pidfd::{Pidfd, Reaped, Wait, reap};
use mayfly_sandbox::poll::{self, Interest};
use mayfly_sandbox::seccomp::Profile;
use mayfly_sandbox::{Ended, Pid, SysError, descriptors, libc_state, privileges, rlimits};
use std::time::Duration;

use crate::{exit, zygote};

/// Says the launcher to the init: its user is mapped.
const MAPPED: u8 = 1;
/// Says the launcher to the init: its user could not be mapped.
const UNMAPPED: u8 = 0;

/// Becomes launcher, init and zygote; each ends by itself.
pub fn launch(control: OwnedFd, profile: Profile) -> ! {
    let outcome = prepare().and_then(|host| {
        let gate = std::io::pipe().map_err(|source| SysError {
            step: "open a pipe",
            source,
        })?;
        let descent = namespaces::descend()?;
        Ok((host, gate, descent))
    });
    let (host, (gate, gatekeeper), descent) = match outcome {
        Ok(parts) => parts,
        Err(error) => zygote::unready(&control, &error),
    };
    match descent.side {
        Forked::Child => {
            drop((host, gatekeeper));
            init(control, gate, descent, profile)
        }
        Forked::Parent(child) => {
            // The host must see the zygote's end of this socket close when the zygote ends.
            drop((control, gate));
            watch(&host, child, descent.user, gatekeeper)
        }
    }
}

/// Rids the process of what it inherited; gives the host to watch.
fn prepare() -> Result<Pidfd, SysError> {
    descriptors::close_from(descriptors::SOCKET + 1)?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    let null = null.map_err(|source| SysError {
        step: "open /dev/null",
        source,
    })?;
    descriptors::use_as_input_and_output(null.as_fd())?;
    privileges::leave_session();
    libc_state::use_one_arena();
    libc_state::read_time_zone();
    // Nothing depends on it; where it is refused the kernel chooses by size.
    let _ = rlimits::prefer_as_oom_victim();
    // Only root can, and not in every container; groups reach no file once the root is empty.
    let _ = privileges::drop_groups();
    // Should the host have ended by now, this names whoever inherited us, and the control socket,
    // closed at the other end, tells the zygote to end.
    let host = Pid(i32::try_from(parent_id()).unwrap_or(0));
    Pidfd::open(host).map_err(|source| SysError {
        step: "open the host's pidfd",
        source,
    })
}

/// The launcher's life.
fn watch(host: &Pidfd, child: Pid, has_user: bool, mut gate: PipeWriter) -> ! {
    let word = match has_user.then(|| namespaces::map_user(child)) {
        Some(Ok(())) => MAPPED,
        Some(Err(error)) => {
            eprintln!("mayfly-guest: {error}: {}", error.source);
            UNMAPPED
        }
        None => UNMAPPED,
    };
    // It fails only if the child has ended, which is noticed below.
    let _ = gate.write_all(&[word]);
    let Ok(init) = Pidfd::open(child) else {
        exit_now(exit::SYSTEM)
    };
    loop {
        let descriptors = [
            (host.as_fd(), Interest::Read),
            (init.as_fd(), Interest::Read),
        ];
        match poll::poll(descriptors, None) {
            Ok([_, ended]) if ended.read => exit_now(code_of(init.wait().ok())),
            Ok([gone, _]) if !gone.read => {}
            // The host is gone, or waiting does not work.
            _ => {
                let _ = init.kill();
                exit_now(code_of(init.wait().ok()))
            }
        }
    }
}

fn code_of(ended: Option<Ended>) -> i32 {
    match ended {
        Some(Ended::Exit(code)) => code,
        _ => exit::SYSTEM,
    }
}

/// The init's life: sets up what its zygote inherits, forks it, reaps.
fn init(control: OwnedFd, mut gate: PipeReader, descent: Descent, profile: Profile) -> ! {
    let mut word = [UNMAPPED];
    if gate.read_exact(&mut word).is_err() {
        exit_now(exit::SYSTEM);
    }
    let outcome = enter(descent, word[0] == MAPPED)
        // Set last: a change of user clears it.
        .and_then(|layers| privileges::die_with_parent().map(|()| layers));
    let layers = match outcome {
        Ok(layers) => layers,
        Err(error) => zygote::unready(&control, &error),
    };
    // Had the launcher ended before `die_with_parent`, its end of the gate would be closed.
    match poll::poll([(gate.as_fd(), Interest::None)], Some(Duration::ZERO)) {
        Ok([launcher]) if !launcher.hangup => drop(gate),
        _ => exit_now(exit::SYSTEM),
    }
    let threads = ThreadCount::open();
    match threads.map(|threads| fork_alone(&threads)) {
        Ok(Ok(Forked::Child)) => zygote::run(control, layers, profile),
        Ok(Ok(Forked::Parent(zygote))) => {
            drop(control);
            reap_until_childless(zygote)
        }
        Ok(Err(error)) => zygote::unready(&control, &error),
        Err(error) => zygote::unready(&control, &error),
    }
}

fn enter(descent: Descent, is_mapped: bool) -> Result<Vec<Layer>, SysError> {
    let mut layers = descent.layers;
    layers.extend(namespaces::leave_shared());
    // In a namespace whose user could not be mapped, the process is nobody already.
    let identity = if is_mapped || (!descent.user && privileges::is_root()) {
        Layer::of("nobody's identity", privileges::become_nobody())
    } else if descent.user {
        Layer::active("nobody's identity")
    } else {
        Layer::missing(
            "nobody's identity",
            "the host's own: only root can change it",
        )
    };
    layers.push(identity);
    privileges::adopt_orphans()?;
    Ok(layers)
}

fn reap_until_childless(zygote: Pid) -> ! {
    let _ = privileges::drop_capabilities();
    let _ = privileges::forbid_inspection();
    let mut code = exit::SYSTEM;
    loop {
        match reap(Wait::Block) {
            Ok(Reaped::Child(pid, ended, _)) if pid == zygote => code = code_of(Some(ended)),
            Ok(Reaped::Child(..) | Reaped::None) => {}
            Ok(Reaped::Childless) | Err(_) => exit_now(code),
        }
    }
}
