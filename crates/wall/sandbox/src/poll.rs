//! Waiting: for several descriptors at once, and being woken by another thread.

use crate::{SysError, check, check_io};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// What to wait for on one descriptor. Hang-up and errors are always waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Hang-up only.
    None,
    /// Something to read.
    Read,
    /// Room to write.
    Write,
    /// Either.
    ReadWrite,
}

/// What became of one descriptor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Readiness {
    /// There is something to read, the end included.
    pub read: bool,
    /// There is room to write.
    pub write: bool,
    /// The other end is gone.
    pub hangup: bool,
}

/// Waits until something is ready or `timeout` has passed; for ever if there is none. A signal
/// ends the wait early with nothing ready.
pub fn poll<const N: usize>(
    descriptors: [(BorrowedFd<'_>, Interest); N],
    timeout: Option<Duration>,
) -> io::Result<[Readiness; N]> {
    let mut entries = descriptors.map(|(descriptor, interest)| libc::pollfd {
        fd: descriptor.as_raw_fd(),
        events: match interest {
            Interest::None => 0,
            Interest::Read => libc::POLLIN,
            Interest::Write => libc::POLLOUT,
            Interest::ReadWrite => libc::POLLIN | libc::POLLOUT,
        },
        revents: 0,
    });
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(timeout.subsec_nanos() as i32),
    });
    let timeout = timeout
        .as_ref()
        .map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `entries` has N items, `timeout` is null or a time that outlives the call, and a
    // null mask leaves signals as they are.
    let result = unsafe {
        libc::ppoll(
            entries.as_mut_ptr(),
            N as libc::nfds_t,
            timeout,
            std::ptr::null(),
        )
    };
    match check_io(result) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            return Ok([Readiness::default(); N]);
        }
        outcome => outcome?,
    };
    Ok(entries.map(|entry| {
        let hangup = entry.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0;
        Readiness {
            read: hangup || entry.revents & libc::POLLIN != 0,
            write: hangup || entry.revents & libc::POLLOUT != 0,
            hangup,
        }
    }))
}

/// Ends another thread's [`poll`].
#[derive(Debug, Clone)]
pub struct Waker(Arc<File>);

impl Waker {
    /// A waker with a descriptor of its own; poll it for [`Interest::Read`].
    pub fn new() -> Result<Self, SysError> {
        // SAFETY: the call takes two integers.
        let descriptor = check("open eventfd", unsafe {
            libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)
        })?;
        // SAFETY: the call succeeded, so this is a new descriptor that nobody else knows.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self(Arc::new(File::from(descriptor))))
    }

    /// Makes it readable. May be called from any thread.
    pub fn wake(&self) {
        // It fails only when the counter is full, and then it is readable anyway.
        let _ = (&*self.0).write(&1u64.to_ne_bytes());
    }

    /// Makes it unreadable again.
    pub fn clear(&self) {
        // It fails only when nothing was written, which is as well.
        let _ = (&*self.0).read(&mut [0; size_of::<u64>()]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waker_ends_a_wait() {
        let waker = Waker::new().unwrap();
        let wait = |timeout| poll([(waker.as_fd(), Interest::Read)], timeout).unwrap()[0];
        assert!(!wait(Some(Duration::from_millis(1))).read);
        let other = waker.clone();
        let thread = std::thread::spawn(move || other.wake());
        assert!(wait(None).read);
        thread.join().unwrap();
        waker.clear();
        assert!(!wait(Some(Duration::ZERO)).read);
    }

    #[test]
    fn a_closed_end_hangs_up() {
        let (near, far) = crate::packets::pair().unwrap();
        drop(far);
        let [ready] = poll([(near.as_fd(), Interest::None)], None).unwrap();
        assert!(ready.hangup);
    }
}
