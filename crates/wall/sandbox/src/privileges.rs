//! Rights that a process gives up: identity, capabilities, new privileges, being looked into.
//!
//! [`become_nobody`] comes first and keeps capabilities, since the zygote still has a root to
//! empty; [`drop_capabilities`] comes last. Nothing here can be undone by the process.

use crate::namespaces::NOBODY;
use crate::{SysError, check};
use std::mem::size_of;

/// `_LINUX_CAPABILITY_VERSION_3`: capability sets of 64 bits, as two words each.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// Above every capability there is (41 in Linux 6.18); the loop ends at the first the kernel
/// does not know.
const CAPABILITY_NUMBER_MAX: libc::c_ulong = 63;

/// `SECBIT_NO_SETUID_FIXUP`: changing user keeps capabilities.
const KEEP_CAPABILITIES: libc::c_ulong = 1 << 2;

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilityWords {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const _: () = assert!(size_of::<CapabilityHeader>() == 8 && size_of::<CapabilityWords>() == 12);

/// Whether the process runs as the machine's root.
pub fn is_root() -> bool {
    // SAFETY: the call takes nothing, cannot fail and gives an integer.
    unsafe { libc::geteuid() == 0 }
}

/// Gives up supplementary groups; only root can.
pub fn drop_groups() -> Result<(), SysError> {
    // SAFETY: with a count of zero the list is not read.
    check("drop groups", unsafe {
        libc::setgroups(0, std::ptr::null())
    })?;
    Ok(())
}

/// Becomes [`NOBODY`] and keeps capabilities.
pub fn become_nobody() -> Result<(), SysError> {
    // SAFETY: this prctl takes an integer.
    check("keep capabilities", unsafe {
        libc::prctl(libc::PR_SET_SECUREBITS, KEEP_CAPABILITIES, 0, 0, 0)
    })?;
    // SAFETY: the call takes three integers.
    check("change group", unsafe {
        libc::setresgid(NOBODY, NOBODY, NOBODY)
    })?;
    // SAFETY: the call takes three integers.
    check("change user", unsafe {
        libc::setresuid(NOBODY, NOBODY, NOBODY)
    })?;
    Ok(())
}

/// Gives up every capability, for this process and for whatever it might execute.
pub fn drop_capabilities() -> Result<(), SysError> {
    for capability in 0..=CAPABILITY_NUMBER_MAX {
        // SAFETY: this prctl takes an integer.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } == -1 {
            // Either the number is beyond the last, or the right to shrink the set is missing;
            // then so are the capabilities, and what follows still clears the rest.
            break;
        }
    }
    // SAFETY: this prctl takes integers.
    check("clear ambient capabilities", unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong,
            0,
            0,
            0,
        )
    })?;
    let header = CapabilityHeader {
        version: CAPABILITY_VERSION,
        pid: 0,
    };
    let none = [CapabilityWords {
        effective: 0,
        permitted: 0,
        inheritable: 0,
    }; 2];
    // SAFETY: version 3 reads one header and two sets of words, which these are.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) };
    check("drop capabilities", result as libc::c_int)?;
    Ok(())
}

/// No execution from here on may gain rights. Seccomp and Landlock ask for it.
pub fn forbid_new_privileges() -> Result<(), SysError> {
    // SAFETY: this prctl takes integers.
    check("forbid new privileges", unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    })?;
    Ok(())
}

/// Lets this process read its own files of `/proc`, which a change of user takes away. For one that
/// has nothing to hide yet, or is about to end.
pub fn allow_inspection() -> Result<(), SysError> {
    // SAFETY: this prctl takes integers.
    check("become dumpable", unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0)
    })?;
    Ok(())
}

/// No core dumps, and no process without the right to trace may attach or read memory.
pub fn forbid_inspection() -> Result<(), SysError> {
    // SAFETY: this prctl takes integers.
    check("become undumpable", unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0)
    })?;
    Ok(())
}

/// This process is killed when its parent ends. Must come after [`become_nobody`], which clears it.
pub fn die_with_parent() -> Result<(), SysError> {
    // SAFETY: this prctl takes integers.
    check("die with the parent", unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0)
    })?;
    Ok(())
}

/// Orphans below this process become its children, as they do for pid 1 of a namespace.
pub fn adopt_orphans() -> Result<(), SysError> {
    // SAFETY: this prctl takes integers.
    check("adopt orphans", unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    })?;
    Ok(())
}

/// Leaves the host's terminal session: a Ctrl-C is the host's to handle, not the guests' to die of.
pub fn leave_session() {
    // SAFETY: the call takes nothing. It fails only for a group leader, which is one already.
    unsafe { libc::setsid() };
}
