//! The program's own code, moved from the page cache into private memory before the first fork.
//!
//! A fork copies the page tables of private memory, not those of mapped files: each guest would fault
//! in the same hundred pieces of code again, which in a virtual machine costs more than running
//! them. After this they are there from its first instruction; where the kernel has huge pages,
//! ten entries cover it all: the guest's linker leaves room for huge pages to begin and end in.
//!
//! Invariant: no memory is ever writable and executable at once, and every byte stays what it was.

use std::io;

use crate::{SysError, near};

/// Size and alignment of a huge page on x86-64 and most of AArch64; elsewhere it only wastes a little
/// address space.
const HUGE_BYTES: usize = 2 * 1024 * 1024;

/// One executable mapping of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Text {
    start: usize,
    bytes: usize,
}

impl Text {
    /// Stretched to the borders of huge pages, at each end where nothing else is mapped there. What it is
    /// stretched over can be neither read nor written yet.
    fn rounded_out(self) -> Self {
        let end = self.start + self.bytes;
        let low = self.start / HUGE_BYTES * HUGE_BYTES;
        let high = end.next_multiple_of(HUGE_BYTES);
        let is_free = |from, to| from == to || near::take(from, to).is_ok();
        let start = if is_free(low, self.start) {
            low
        } else {
            self.start
        };
        let end = if is_free(end, high) { high } else { end };
        Self {
            start,
            bytes: end - start,
        }
    }
}

/// Moves code into private memory; gives the bytes moved. Only where at least one huge page fits: of a
/// library's few hundred small pages a fork would copy each entry and use a few.
///
/// The caller has one thread.
pub fn make_private() -> Result<usize, SysError> {
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|source| SysError {
        step: "read the list of mappings",
        source,
    })?;
    let mut moved = 0;
    let texts = maps.lines().filter_map(file_text);
    for text in texts.filter(|text| text.bytes >= 2 * HUGE_BYTES) {
        move_one(&text, &text.rounded_out()).map_err(|source| SysError {
            step: "move code into private memory",
            source,
        })?;
        moved += text.bytes;
    }
    Ok(moved)
}

/// A line of the list, where it is executable code of a file.
fn file_text(line: &str) -> Option<Text> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let rights = fields.next()?;
    let inode = fields.nth(2)?;
    if rights != "r-xp" || inode == "0" {
        return None;
    }
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    Some(Text {
        start,
        bytes: end.checked_sub(start)?,
    })
}

/// Puts a private copy of `text` in its place, with zeros as far as `whole` goes beyond it.
fn move_one(text: &Text, whole: &Text) -> io::Result<()> {
    let Text { start, bytes } = *whole;
    // SAFETY: the reservation is fresh memory of the kernel's choice, large enough for a copy at the
    // same place within a huge page as the original. The original, which lies within `whole`, is readable
    // for its bytes, being an `r-x` mapping of this process, and nothing unmaps it: there is one thread and
    // it is here. The copy is complete and executable before `mremap` puts it in the original's place in
    // one step, so the instruction after that call is the same byte as before. What it replaces besides
    // the original was claimed for it.
    unsafe {
        let reserved = libc::mmap(
            std::ptr::null_mut(),
            bytes + HUGE_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        if reserved == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let shift = start.wrapping_sub(reserved as usize) % HUGE_BYTES;
        let copy = reserved.byte_add(shift);
        // Only a hint: without huge pages there are more page table entries, and nothing else.
        libc::madvise(copy, bytes, libc::MADV_HUGEPAGE);
        let inside = copy.byte_add(text.start - start).cast::<u8>();
        std::ptr::copy_nonoverlapping(text.start as *const u8, inside, text.bytes);
        let in_place = libc::mprotect(copy, bytes, libc::PROT_READ | libc::PROT_EXEC) == 0
            && libc::mremap(
                copy,
                bytes,
                bytes,
                libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
                start as *mut libc::c_void,
            ) != libc::MAP_FAILED;
        let result = if in_place {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        };
        // What is left of the reservation on both sides; the moved part is a hole already.
        libc::munmap(reserved, shift);
        let tail = copy.byte_add(bytes);
        libc::munmap(tail, HUGE_BYTES - shift);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_stretched_where_there_is_room() {
        // Room of its own, so that this test knows what is mapped in it.
        let all = 8 * HUGE_BYTES;
        // SAFETY: fresh memory of the kernel's choice.
        let room = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                all,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        assert_ne!(room, libc::MAP_FAILED);
        let low = (room as usize).next_multiple_of(HUGE_BYTES);
        let text = Text {
            start: low + 4096,
            bytes: 2 * HUGE_BYTES,
        };
        assert_eq!(text.rounded_out(), text, "all is taken");
        // SAFETY: pages of the mapping above, which nobody uses.
        unsafe {
            libc::munmap(low as *mut libc::c_void, 4096);
            libc::munmap(
                (low + 2 * HUGE_BYTES + 4096) as *mut libc::c_void,
                HUGE_BYTES,
            );
        }
        let whole = Text {
            start: low,
            bytes: 3 * HUGE_BYTES,
        };
        assert_eq!(text.rounded_out(), whole);
        // SAFETY: the mapping above, and what was claimed in it.
        unsafe { libc::munmap(room, all) };
    }

    #[test]
    fn only_code_of_files_is_moved() {
        let code = "55d0-75d0 r-xp 00001000 fe:00 1234 /usr/bin/x";
        let text = file_text(code).unwrap();
        assert_eq!((text.start, text.bytes), (0x55d0, 0x2000));
        for other in [
            "55d0-75d0 r--p 00001000 fe:00 1234 /usr/bin/x",
            "55d0-75d0 r-xp 00000000 00:00 0 [vdso]",
            "55d0-75d0 rw-p 00000000 00:00 0",
            "nonsense",
        ] {
            assert!(file_text(other).is_none(), "{other}");
        }
    }
}
