//! Starting a zygote from the host.
//!
//! The zygote is the guest binary executed afresh: an address space of its own, an empty
//! environment, no descriptor of the host but its standard error (for a person to read) and one
//! end of the control socket at [`crate::descriptors::SOCKET`].

use crate::check_io;
use crate::descriptors::SOCKET;
use crate::packets;
use crate::seccomp::Profile;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A zygote that was started; its first packet is `Ready` or `Unready`.
#[derive(Debug)]
pub struct Zygote {
    /// The launcher, parent of everything in the zygote's namespace. Killing it ends the zygote
    /// and all its guests; it ends by itself once they have.
    pub launcher: Child,
    /// The host's end of the control socket: blocking, close-on-exec. Closing it ends the zygote
    /// and all its guests.
    pub control: OwnedFd,
}

/// Starts `binary` as a zygote whose guests may make the calls of `profile`.
pub fn spawn_zygote(binary: &Path, profile: Profile) -> io::Result<Zygote> {
    let (control, theirs) = packets::pair()?;
    let descriptor = theirs.as_raw_fd();
    let mut command = Command::new(binary);
    command
        .arg(profile.word())
        .env_clear()
        // Workers see UTC whatever the machine is set to.
        .env("TZ", "UTC")
        // Symbols are looked up once in the zygote rather than in every guest.
        .env("LD_BIND_NOW", "1")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    // SAFETY: between fork and exec the closure makes two system calls on integers; it allocates
    // nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            if descriptor == SOCKET {
                // `dup2` onto itself would leave close-on-exec set.
                check_io(libc::fcntl(SOCKET, libc::F_SETFD, 0))?;
            } else {
                check_io(libc::dup2(descriptor, SOCKET))?;
            }
            Ok(())
        });
    }
    let launcher = command.spawn()?;
    drop(theirs);
    Ok(Zygote { launcher, control })
}
