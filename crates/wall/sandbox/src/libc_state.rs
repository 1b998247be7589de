//! What the C library makes up its mind about lazily, made up while it still may: a sealed guest
//! that opens a file is killed.

unsafe extern "C" {
    // POSIX; missing from the bindings.
    fn tzset();
}

/// Keeps `malloc` to one arena. A further one, made for each helper thread, would reserve 64 MiB,
/// cost page tables, and open a file of `/proc` when it shrinks.
///
/// Call it before the first thread starts.
pub fn use_one_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes two integers. It fails on no value of this parameter.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Blocks below this come from the heap, and so from memory that was used before.
#[cfg(target_env = "gnu")]
const HEAP_BLOCK_BYTES_MAX: libc::c_int = 32 * 1024 * 1024;

/// Free memory at the heap's end that is kept.
#[cfg(target_env = "gnu")]
const KEPT_BYTES_MAX: libc::c_int = 48 * 1024 * 1024;

/// Has `malloc` keep memory that large blocks were freed from, for the next ones: fresh pages cost
/// more than anything else that is done with a message of megabytes. Whoever is idle gives it back
/// with [`give_back_free_pages`].
pub fn keep_free_pages() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the calls take two integers and change only what later calls of `malloc` do.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, HEAP_BLOCK_BYTES_MAX);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES_MAX);
    }
}

/// Reads the time zone that the environment names. Local times need it from then on and do not
/// look again, since nothing changes the environment.
pub fn read_time_zone() {
    // SAFETY: the call takes nothing. It reads the environment, which no other thread changes: the
    // caller is a zygote that is starting, and this crate's users never set a variable.
    unsafe { tzset() };
}

/// Gives the pages of free memory back to the kernel. A fork copies the entry of each page that is
/// there: what compilers left behind would cost more than all that is in use.
pub fn give_back_free_pages() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes a number and touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Holes are filled with halves of this, then with every size that `malloc` tells apart.
#[cfg(target_env = "gnu")]
const HOLE_BYTES_MAX: usize = 64 * 1024;

/// The largest of these sizes. `malloc` adds 8 bytes and rounds up to 16, so this and all that are
/// a multiple of 16 smaller fill a piece to its last byte; the smallest is 24.
#[cfg(target_env = "gnu")]
const EXACT_BYTES_MAX: usize = 2040;

/// Takes every free piece between live ones out of `malloc`'s hands, for good.
///
/// A guest would otherwise be given pieces strewn over all the pages it shares with its zygote, and
/// each first write copies a page. After this it allocates from the end of the heap, side by side.
/// The pieces cost nothing more than they did: they stay shared.
pub fn fill_heap_holes() {
    #[cfg(target_env = "gnu")]
    {
        let halves = std::iter::successors(Some(HOLE_BYTES_MAX), |size| Some(size / 2));
        let halves = halves.take_while(|size| *size > EXACT_BYTES_MAX);
        let exact = (24..EXACT_BYTES_MAX + 1).step_by(16).rev();
        for size in halves.chain(exact) {
            while take_hole(size) {}
        }
    }
}

/// Allocates `size` bytes and keeps them if they came from a hole.
#[cfg(target_env = "gnu")]
fn take_hole(size: usize) -> bool {
    // SAFETY: `mallinfo2` and `sbrk(0)` only look. The block is either freed right here or never, and
    // nothing is written to it.
    unsafe {
        let end_free = libc::mallinfo2().keepcost;
        let end = libc::sbrk(0) as usize;
        let block = std::hint::black_box(libc::malloc(size));
        // The free end begins below here; a block in it was cut from it.
        let from_end = (block as usize) >= end.saturating_sub(end_free);
        if from_end || block.is_null() {
            libc::free(block);
            return false;
        }
        true
    }
}
