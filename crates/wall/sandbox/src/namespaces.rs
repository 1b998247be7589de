//! Namespaces: what a zygote and its guests can name at all.
//!
//! Each is tried on its own and reported as a [`Layer`]; where the kernel or a container refuses
//! one, the others still stand. The order is given by the kernel: user first (it grants the rights
//! for the rest), pid with it (only children enter it), then net, mount, ipc, uts and cgroup; the
//! root is emptied last, once the engine needs no more files.
//!
//! Deliberately absent: `/proc`, devices and any other file system inside. A guest needs none.

use crate::fork::Forked;
use crate::{Pid, SysError, check, check_io};
use std::ffi::CStr;
use std::io;
use std::ptr;

/// The user that zygotes and guests are, inside; outside too where the host is root.
pub const NOBODY: u32 = 65_534;

/// Where the empty root is mounted before it becomes the root. Any directory that always exists
/// would do.
const MOUNT_POINT: &CStr = c"/proc";

/// One page and its root directory: a file system that holds nothing and takes nothing.
const EMPTY_ROOT_OPTIONS: &CStr = c"size=4096,nr_inodes=1,mode=0555";

/// A layer of the sandbox and whether this kernel gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its name, for people.
    pub name: &'static str,
    /// Whether it stands.
    pub active: bool,
    /// Why not, where it does not.
    pub reason: String,
}

impl Layer {
    /// A layer that stands.
    pub fn active(name: &'static str) -> Self {
        Self {
            name,
            active: true,
            reason: String::new(),
        }
    }

    /// A layer that does not.
    pub fn missing(name: &'static str, reason: impl Into<String>) -> Self {
        Self {
            name,
            active: false,
            reason: reason.into(),
        }
    }

    /// By the outcome of setting it up.
    pub fn of(name: &'static str, outcome: Result<(), SysError>) -> Self {
        match outcome {
            Ok(()) => Self::active(name),
            Err(error) => Self::missing(name, format!("{error}: {}", error.source)),
        }
    }
}

/// A child that may have a user and a pid namespace of its own.
#[derive(Debug)]
pub struct Descent {
    /// Which side this is.
    pub side: Forked,
    /// Whether the child awaits [`map_user`].
    pub user: bool,
    /// Whether the child is pid 1 of a namespace.
    pub pid: bool,
    /// How the two fared; for the child to report.
    pub layers: Vec<Layer>,
}

/// Forks a child into new user and pid namespaces, or as many of them as the kernel gives.
///
/// The caller must have one thread. The child should fork again before it starts an engine: C
/// libraries learn of a fork by `fork`, which this is not.
pub fn descend() -> Result<Descent, SysError> {
    let attempts = [
        libc::CLONE_NEWUSER | libc::CLONE_NEWPID,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        0,
    ];
    let mut refusals = Vec::new();
    for flags in attempts {
        // SAFETY: without CLONE_VM and with a null stack this is a fork: the child has a copy of
        // everything and goes on from here. Neither the launcher nor this child uses what the C
        // library caches per thread before the child forks again.
        let result = unsafe {
            libc::syscall(
                libc::SYS_clone,
                flags | libc::SIGCHLD,
                ptr::null::<u8>(),
                ptr::null::<u8>(),
                ptr::null::<u8>(),
                ptr::null::<u8>(),
            )
        };
        let side = match result {
            -1 => {
                refusals.push((flags, io::Error::last_os_error()));
                continue;
            }
            0 => Forked::Child,
            pid => Forked::Parent(Pid(pid as i32)),
        };
        let layer = |name, flag| {
            if flags & flag != 0 {
                return Layer::active(name);
            }
            let refusal = refusals.iter().rev().find(|(tried, _)| tried & flag != 0);
            Layer::missing(
                name,
                refusal.map_or(String::new(), |(_, error)| error.to_string()),
            )
        };
        return Ok(Descent {
            side,
            user: flags & libc::CLONE_NEWUSER != 0,
            pid: flags & libc::CLONE_NEWPID != 0,
            layers: vec![
                layer("user namespace", libc::CLONE_NEWUSER),
                layer("pid namespace", libc::CLONE_NEWPID),
            ],
        });
    }
    let (_, source) = refusals
        .pop()
        .unwrap_or_else(|| (0, io::Error::other("nothing was tried")));
    Err(SysError {
        step: "fork the zygote's init",
        source,
    })
}

/// Says who `child`'s [`NOBODY`] is outside: nobody too if the caller is root and may say so, else
/// the caller.
pub fn map_user(child: Pid) -> Result<(), SysError> {
    // SAFETY: these calls take nothing, cannot fail and give an integer.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let write = |file: &str, step, text: String| {
        std::fs::write(format!("/proc/{}/{file}", child.0), text)
            .map_err(|source| SysError { step, source })
    };
    let map = |file, step, own: u32| {
        let nobody = format!("{NOBODY} {NOBODY} 1");
        // Root of a container may not have nobody to give; a map that failed may be tried again.
        if user == 0 && write(file, step, nobody).is_ok() {
            return Ok(());
        }
        write(file, step, format!("{NOBODY} {own} 1"))
    };
    // An unprivileged caller may map its group only once nobody inside can drop groups.
    write("setgroups", "deny setgroups", "deny".to_owned())?;
    map("uid_map", "map the user", user)?;
    map("gid_map", "map the group", group)
}

/// Leaves the remaining namespaces of the host.
pub fn leave_shared() -> Vec<Layer> {
    [
        ("network namespace", libc::CLONE_NEWNET),
        ("mount namespace", libc::CLONE_NEWNS),
        ("ipc namespace", libc::CLONE_NEWIPC),
        ("uts namespace", libc::CLONE_NEWUTS),
        ("cgroup namespace", libc::CLONE_NEWCGROUP),
    ]
    .into_iter()
    .map(|(name, flag)| {
        // SAFETY: none of these flags touches memory or shared descriptors.
        let outcome = check("unshare", unsafe { libc::unshare(flag) });
        Layer::of(name, outcome.map(drop))
    })
    .collect()
}

/// Puts an empty, read-only directory in the place of the whole file system.
///
/// Does nothing where the mount namespace was refused: the mounts would be the host's.
pub fn empty_root(layers: &[Layer]) -> Layer {
    const NAME: &str = "empty root";
    let own_mounts = layers
        .iter()
        .any(|layer| layer.name == "mount namespace" && layer.active);
    if own_mounts {
        Layer::of(NAME, replace_root())
    } else {
        Layer::missing(NAME, "needs a mount namespace")
    }
}

fn replace_root() -> Result<(), SysError> {
    // Nothing done here may spread to the host's mounts.
    mount(
        "make mounts private",
        None,
        c"/",
        libc::MS_REC | libc::MS_PRIVATE,
        None,
    )?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    mount(
        "mount an empty root",
        Some(c"tmpfs"),
        MOUNT_POINT,
        flags,
        Some(EMPTY_ROOT_OPTIONS),
    )?;
    // SAFETY: the path is a C string.
    check("enter the empty root", unsafe {
        libc::chdir(MOUNT_POINT.as_ptr())
    })?;
    // With both the same, the old root ends up on top of the new one, ready to be detached.
    // SAFETY: both paths are C strings.
    let pivot = unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) };
    check("make it the root", pivot as libc::c_int)?;
    // SAFETY: the path is a C string.
    check("detach the old root", unsafe {
        libc::umount2(c".".as_ptr(), libc::MNT_DETACH)
    })?;
    // SAFETY: the path is a C string.
    check("enter the root", unsafe { libc::chdir(c"/".as_ptr()) })?;
    mount(
        "make the root read-only",
        None,
        c"/",
        libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | flags,
        None,
    )
}

fn mount(
    step: &'static str,
    kind: Option<&CStr>,
    target: &CStr,
    flags: libc::c_ulong,
    options: Option<&CStr>,
) -> Result<(), SysError> {
    let kind = kind.map_or(ptr::null(), CStr::as_ptr);
    let options = options.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: every pointer is null where the call allows it or a C string that outlives it.
    let result = unsafe { libc::mount(kind, target.as_ptr(), kind, flags, options.cast()) };
    check_io(result)
        .map(drop)
        .map_err(|source| SysError { step, source })
}
