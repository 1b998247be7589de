//! The system's memory, with huge pages under what is large.
//!
//! A message of megabytes passes through several fresh buffers on its way. Each is 256 page faults a
//! megabyte with small pages, which was half of all the time such a message took; with huge pages
//! it is one for two megabytes. Small allocations are left alone: a huge page under them would be
//! memory for nothing.

use std::alloc::{GlobalAlloc, Layout, System};

/// Allocations from here on get huge pages: at least one fits, whatever its place.
pub const HUGE_BYTES_MIN: usize = 4 * 1024 * 1024;

/// Size and alignment of a huge page; elsewhere than on x86-64 and most of AArch64 the hint is of less
/// use and does no harm.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// The system's allocator, with the hint. For a program's `#[global_allocator]`.
#[derive(Debug)]
pub struct HugePages;

// SAFETY: every method passes its arguments to `System` and gives back what `System` gave.
unsafe impl GlobalAlloc for HugePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is `System`'s.
        hinted(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is `System`'s.
        unsafe { System.dealloc(start, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is `System`'s.
        hinted(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's contract is `System`'s.
        hinted(unsafe { System.realloc(start, layout, size) }, size)
    }
}

fn hinted(start: *mut u8, bytes: usize) -> *mut u8 {
    if bytes >= HUGE_BYTES_MIN && !start.is_null() {
        let first = (start as usize).next_multiple_of(PAGE_BYTES);
        let end = (start as usize + bytes) / PAGE_BYTES * PAGE_BYTES;
        // SAFETY: the range lies within the block, which has room for one page of this size at least
        // and whose bytes the hint leaves alone.
        unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE) };
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_blocks_are_zero_where_asked_and_keep_their_bytes_when_they_grow() {
        let layout = Layout::from_size_align(HUGE_BYTES_MIN + 4097, 8).unwrap();
        // SAFETY: the layout is not empty, every block is used within its size and freed with the
        // layout it has.
        unsafe {
            let block = HugePages.alloc_zeroed(layout);
            assert!((0..layout.size()).all(|at| *block.add(at) == 0));
            block.write_bytes(7, layout.size());
            let size = layout.size() * 3;
            let block = HugePages.realloc(block, layout, size);
            assert!((0..layout.size()).all(|at| *block.add(at) == 7));
            HugePages.dealloc(block, Layout::from_size_align(size, 8).unwrap());
        }
    }
}
