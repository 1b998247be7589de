//! Mappings of a process that forks, side by side instead of all over the address space.
//!
//! The engine asks for each megabyte of its heap at a random place. Alone there, it fits no huge page,
//! so a fork copies 256 entries for it and its end removes them again; and it takes a page table of
//! each level for itself, which is twelve kilobytes for every guest. While the places it may ask for are
//! taken, the kernel chooses: next to what is there, at a start of its own random choice.
//!
//! Invariant: nothing is ever stored in what is taken, and it is given back before the first fork, so
//! that a guest's own memory comes from random places again.

use std::io;

/// The lowest address that a process may map where `vm.mmap_min_addr` is what kernels set.
const LOW: usize = 64 * 1024;

/// The engine asks for small pieces below this (`hugeSplit` in `gc/Memory.cpp` of SpiderMonkey); programs
/// and libraries of 64-bit systems lie above.
const HIGH: usize = 1 << 46;

/// The lower half of the address space, until it is dropped.
#[derive(Debug)]
pub struct Taken(());

/// Has new mappings lie side by side until the result is dropped. An error means that they will not, and
/// that nothing else changed.
pub fn keep_together() -> io::Result<Taken> {
    take(LOW, HIGH)?;
    Ok(Taken(()))
}

/// Takes the addresses from `start` to `end`, where nothing is mapped: an error says that something is, and
/// changes nothing. Nothing can be read there or written.
pub(crate) fn take(start: usize, end: usize) -> io::Result<()> {
    // SAFETY: the range replaces no mapping (`MAP_FIXED_NOREPLACE`), and nothing can be read from it or
    // written to it.
    let place = unsafe {
        libc::mmap(
            start as *mut libc::c_void,
            end - start,
            libc::PROT_NONE,
            libc::MAP_PRIVATE
                | libc::MAP_ANONYMOUS
                | libc::MAP_NORESERVE
                | libc::MAP_FIXED_NOREPLACE,
            -1,
            0,
        )
    };
    if place == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    if place as usize != start {
        // A kernel before 4.17 knows no NOREPLACE and takes the address for a wish.
        // SAFETY: the range is the mapping that was just made, and nobody knows of it.
        unsafe { libc::munmap(place, end - start) };
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(())
}

impl Drop for Taken {
    fn drop(&mut self) {
        // SAFETY: the range is the mapping of `keep_together` whole: nobody was told of it, and no other
        // mapping can have taken its place.
        unsafe { libc::munmap(LOW as *mut libc::c_void, HIGH - LOW) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page that the kernel is asked to put at `wish`; gives where it went.
    fn page_at(wish: usize) -> usize {
        // SAFETY: a fresh page that replaces nothing, unmapped at once.
        unsafe {
            let place = libc::mmap(
                wish as *mut libc::c_void,
                4096,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(place, libc::MAP_FAILED);
            libc::munmap(place, 4096);
            place as usize
        }
    }

    #[test]
    fn a_wish_is_granted_only_when_nothing_is_taken() {
        let wish = 0x1234_5670_0000;
        let taken = keep_together().unwrap();
        assert!(page_at(wish) > HIGH);
        drop(taken);
        assert_eq!(page_at(wish), wish);
    }
}
