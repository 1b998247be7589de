//! A mailbox: memory that a guest shares with the host, one page each way, for messages to a reader that
//! is awake.
//!
//! The socket stays what everything goes through. But a reader that is looking for the next message
//! anyway (it *listens*) finds it here without a system call on either side. A page holds one message.
//! It is put only where the reader listens and has read all that went through the socket before
//! (`consumed`), so what lies in the mailbox is always older than what is in the socket. A reader that
//! stops listening looks once more; a writer that sees it has stopped takes its message back and sends it
//! through the socket, unless the reader was faster.
//!
//! The zygote makes a mailbox for each guest before the fork, the guest maps it before it seals itself,
//! and the host when it is told of the guest. Neither can change its size, so no access can fail. Until
//! somebody listens no page of it is touched.
//!
//! Invariant: the other side may write anything anywhere in it at any moment. Every word is read
//! once, through an atomic, and checked; what is taken is a copy. Lies cost the liar its own messages.

use crate::{SysError, check};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Bytes of a page: each way has one, so that neither side writes what the other waits for.
const PAGE_BYTES: usize = 4096;
const WORDS: usize = (PAGE_BYTES - 64) / size_of::<u64>();

/// Bytes that one message may have.
pub const MESSAGE_BYTES_MAX: usize = WORDS * size_of::<u64>();

const EMPTY: u32 = 0;
const FULL: u32 = 1;

/// What keeps both sides from changing its size.
const SEALS: libc::c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

/// One way.
#[repr(C, align(4096))]
struct Page {
    /// [`EMPTY`] or [`FULL`].
    state: AtomicU32,
    /// Bytes of the message.
    length: AtomicU32,
    /// Not 0 while the reader looks at `state` without sleeping.
    listening: AtomicU32,
    /// Bytes that the reader has read from the socket in all.
    consumed: AtomicU64,
    message: [AtomicU64; WORDS],
}

const _: () = assert!(size_of::<Page>() == PAGE_BYTES);

#[repr(C)]
struct Pages {
    to_guest: Page,
    to_host: Page,
}

/// Which side of the wall this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The host.
    Host,
    /// A guest.
    Guest,
}

/// One side's view of a mailbox.
pub struct Mailbox {
    pages: NonNull<Pages>,
    side: Side,
}

// SAFETY: all that is behind the pointer is atomics, and the mapping lasts as long as the value.
unsafe impl Send for Mailbox {}
// SAFETY: as above.
unsafe impl Sync for Mailbox {}

/// Makes the memory of a mailbox.
pub fn create() -> Result<OwnedFd, SysError> {
    let name = c"mayfly mailbox".as_ptr();
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is NUL-terminated. Kernels before 6.3 do not know that memory can be forbidden to be
    // executed and say so.
    let made = unsafe {
        match libc::memfd_create(name, flags | libc::MFD_NOEXEC_SEAL) {
            -1 => libc::memfd_create(name, flags),
            made => made,
        }
    };
    let made = check("make the memory of a mailbox", made)?;
    // SAFETY: the call succeeded, so this is a new descriptor that nobody else knows.
    let memory = unsafe { OwnedFd::from_raw_fd(made) };
    // SAFETY: the calls take numbers.
    unsafe {
        let bytes = size_of::<Pages>() as libc::off_t;
        check("size a mailbox", libc::ftruncate(made, bytes))?;
        check(
            "seal a mailbox",
            libc::fcntl(made, libc::F_ADD_SEALS, SEALS),
        )?;
    }
    Ok(memory)
}

impl Mailbox {
    /// Maps what [`create`] made, whoever it came through.
    pub fn map(memory: BorrowedFd<'_>, side: Side) -> io::Result<Self> {
        check_size(memory)?;
        // SAFETY: a new mapping at a place of the kernel's choice, which touches no memory of ours.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size_of::<Pages>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                memory.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let pages = NonNull::new(start.cast())
            .ok_or_else(|| io::Error::other("a mailbox was mapped at 0"))?;
        Ok(Self { pages, side })
    }

    fn pages(&self) -> &Pages {
        // SAFETY: the mapping is page-aligned, as long as `Pages` (its file is, and cannot shrink:
        // `check_size`), lives until `drop`, and every bit pattern is a valid atomic.
        unsafe { self.pages.as_ref() }
    }

    fn incoming(&self) -> &Page {
        match self.side {
            Side::Host => &self.pages().to_host,
            Side::Guest => &self.pages().to_guest,
        }
    }

    fn outgoing(&self) -> &Page {
        match self.side {
            Side::Host => &self.pages().to_guest,
            Side::Guest => &self.pages().to_host,
        }
    }

    /// Puts a message where the reader looks for it; `false` if it has to go through the socket, by
    /// which `sent` bytes went before.
    pub fn put(&self, message: &[u8], sent: u64) -> bool {
        let page = self.outgoing();
        if message.len() > MESSAGE_BYTES_MAX
            || page.listening.load(Ordering::Acquire) == 0
            || page.consumed.load(Ordering::Acquire) != sent
            || page.state.load(Ordering::Acquire) != EMPTY
        {
            return false;
        }
        for (word, bytes) in page.message.iter().zip(message.chunks(size_of::<u64>())) {
            let mut whole = [0; size_of::<u64>()];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(whole), Ordering::Relaxed);
        }
        // At most MESSAGE_BYTES_MAX, so it fits.
        page.length.store(message.len() as u32, Ordering::Relaxed);
        page.state.store(FULL, Ordering::SeqCst);
        // A reader that stopped listening before this load and does not find the message at its last look
        // leaves it here to be taken back.
        page.listening.load(Ordering::SeqCst) != 0 || !empty(page)
    }

    /// From now on messages may come here instead of through the socket, from which `consumed` bytes were
    /// read.
    pub fn listen(&self, consumed: u64) {
        let page = self.incoming();
        page.consumed.store(consumed, Ordering::Release);
        page.listening.store(1, Ordering::Release);
    }

    /// The end of that. [`Mailbox::take`] once more afterwards.
    pub fn stop_listening(&self) {
        self.incoming().listening.store(0, Ordering::SeqCst);
    }

    /// Appends the message that has come to `bytes`; gives how many those are. Older than anything that is in
    /// the socket.
    pub fn take(&self, bytes: &mut Vec<u8>) -> usize {
        let page = self.incoming();
        if page.state.load(Ordering::SeqCst) != FULL {
            return 0;
        }
        let length = (page.length.load(Ordering::Relaxed) as usize).min(MESSAGE_BYTES_MAX);
        let start = bytes.len();
        for word in &page.message[..length.div_ceil(size_of::<u64>())] {
            bytes.extend_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        // Its writer may have taken it back.
        let taken = if empty(page) { length } else { 0 };
        bytes.truncate(start + taken);
        taken
    }
}

/// Whether it was full and this made it empty.
fn empty(page: &Page) -> bool {
    page.state
        .compare_exchange(FULL, EMPTY, Ordering::SeqCst, Ordering::SeqCst)
        .is_ok()
}

/// A file that could shrink would kill whoever looks at what is gone.
fn check_size(memory: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call takes numbers.
    let seals = unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_GET_SEALS) };
    // SAFETY: all zeroes is a valid `stat`, and the call fills it.
    let bytes = unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        crate::check_io(libc::fstat(memory.as_raw_fd(), &raw mut stat))?;
        stat.st_size
    };
    if seals == -1 || seals & SEALS != SEALS || bytes != size_of::<Pages>() as libc::off_t {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "no memory of a mailbox",
        ));
    }
    Ok(())
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        // SAFETY: `map` made the mapping, of this size, and no reference into it outlives `self`.
        unsafe { libc::munmap(self.pages.as_ptr().cast(), size_of::<Pages>()) };
    }
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Mailbox({:?})", self.side)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn both() -> (Mailbox, Mailbox) {
        let memory = create().unwrap();
        let map = |side| Mailbox::map(memory.as_fd(), side).unwrap();
        (map(Side::Host), map(Side::Guest))
    }

    #[test]
    fn a_message_comes_to_a_listener_that_has_read_all() {
        let (host, guest) = both();
        let mut bytes = vec![9];
        assert!(!host.put(b"asleep", 0));
        guest.listen(5);
        assert!(!host.put(b"behind", 6));
        assert!(!host.put(&[0; MESSAGE_BYTES_MAX + 1], 5));
        assert_eq!(guest.take(&mut bytes), 0);
        let long: Vec<u8> = (0..MESSAGE_BYTES_MAX).map(|at| at as u8).collect();
        for message in [&b"hello"[..], b"", &long] {
            bytes.truncate(1);
            assert!(host.put(message, 5));
            assert!(!host.put(b"full", 5));
            assert_eq!(guest.take(&mut bytes), message.len());
            assert_eq!(&bytes[1..], message);
            assert_eq!(guest.take(&mut bytes), 0);
        }
        host.listen(0);
        assert!(guest.put(b"back", 0) && host.take(&mut bytes) == 4);
        guest.stop_listening();
        assert!(!host.put(b"asleep", 5));
    }

    #[test]
    fn what_a_liar_writes_is_bounded() {
        let (host, guest) = both();
        let page = guest.outgoing();
        page.length.store(u32::MAX, Ordering::Relaxed);
        page.state.store(FULL, Ordering::Relaxed);
        let mut bytes = Vec::new();
        assert_eq!(host.take(&mut bytes), MESSAGE_BYTES_MAX);
        page.state.store(7, Ordering::Relaxed);
        assert_eq!(host.take(&mut bytes), 0);
    }

    #[test]
    fn memory_that_could_shrink_is_refused() {
        // SAFETY: the name is NUL-terminated, and the descriptor is new and ours.
        let memory = unsafe {
            let made = libc::memfd_create(c"loose".as_ptr(), libc::MFD_ALLOW_SEALING);
            libc::ftruncate(made, size_of::<Pages>() as libc::off_t);
            OwnedFd::from_raw_fd(made)
        };
        assert!(Mailbox::map(memory.as_fd(), Side::Host).is_err());
        let (pipe, _writer) = io::pipe().unwrap();
        assert!(Mailbox::map(pipe.as_fd(), Side::Host).is_err());
    }

    /// Whatever the moment at which the reader stops, each message comes once: here, or by the other way.
    #[test]
    fn a_message_is_neither_lost_nor_doubled() {
        const ROUNDS: u64 = 20_000;
        let (host, guest) = both();
        let other_way = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=ROUNDS {
                    if !host.put(&round.to_ne_bytes(), 0) {
                        other_way.store(round, Ordering::SeqCst);
                    }
                    // The reader gives back what it got.
                    while guest.outgoing().consumed.load(Ordering::SeqCst) != round {
                        std::hint::spin_loop();
                    }
                }
            });
            let mut bytes = Vec::new();
            for round in 1..=ROUNDS {
                bytes.clear();
                guest.listen(0);
                let mut taken = 0;
                for _ in 0..round % 64 {
                    taken += guest.take(&mut bytes);
                }
                guest.stop_listening();
                taken += guest.take(&mut bytes);
                if taken > 0 {
                    assert_eq!(bytes, round.to_ne_bytes());
                } else {
                    while other_way.load(Ordering::SeqCst) != round {
                        std::hint::spin_loop();
                    }
                }
                let acknowledged = &guest.outgoing().consumed;
                acknowledged.store(round, Ordering::SeqCst);
            }
        });
    }
}
