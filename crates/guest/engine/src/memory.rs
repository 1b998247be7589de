//! Where memory comes from, and what happens when there is none.
//!
//! Running out ends the process at once with a code of its own, so that the supervisor can tell the
//! Worker's owner what happened. Nothing is tried to be saved: the Worker is the process.
//!
//! Invariant: Rust and the engine share malloc, so memory can change hands between them. This file
//! names the global allocator, and a program can name only one.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::zeroed;
use std::ptr;

use mayfly_sandbox::huge::HugePages;
use mozjs::context::{JSContext, RawJSContext};
use mozjs::jsapi::{GCOptions, GCReason, JS_GetGCParameter, JSGCParamKey, JSGCStatus};

use crate::core::core;
use crate::turn;

/// The process' exit code when it ran out of memory.
pub const EXIT_OUT_OF_MEMORY: i32 = 70;

/// A process that cannot get this much more is at its end: an error to catch would only come again
/// and again, and nobody but the script would know. A quarter of the memory a Worker has by default.
const BREATHING_ROOM_BYTES: usize = 32 * 1024 * 1024;

/// Collections in a row that may leave the heap nearly full.
const COLLECTIONS_IN_VAIN_MAX: u32 = 4;

unsafe extern "C" {
    // Of `mfbt/Assertions.h`: why the engine is about to crash on purpose, by a write to address 0.
    #[link_name = "gMozCrashReason"]
    static CRASH_REASON: *const c_char;
}

/// What that reason begins with where memory was needed and there was none.
const UNHANDLABLE: &[u8] = b"[unhandlable oom]";

/// Makes the engine's crash for want of memory, where it cannot throw, the end that says so. Before
/// the engine starts: its own handler, for faults of WebAssembly, passes on what is not for it.
pub(crate) fn tell_of_crashes() {
    // SAFETY: all zeroes is a valid `sigaction`: an empty mask, no flags.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = on_crash as *const () as usize;
    // SAFETY: the handler below does only what a signal handler may; `action` lives through the call.
    unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, ptr::null_mut()) };
}

extern "C" fn on_crash(signal: c_int) {
    // SAFETY: the engine writes it once, on this thread or on one that goes no further, right before it
    // crashes; it is null or a string that lives as long as the crashing function's frame.
    let reason = unsafe { (&raw const CRASH_REASON).read_volatile() };
    if !reason.is_null() {
        // SAFETY: as above; the string ends with a zero.
        let reason = unsafe { CStr::from_ptr(reason) };
        if reason.to_bytes().starts_with(UNHANDLABLE) {
            exit_out_of_memory();
        }
    }
    // Any other fault comes again when this returns, and then it is the end.
    // SAFETY: SIG_DFL is a valid disposition, and setting it is allowed in a handler.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Malloc, with huge pages under large blocks, ending the process when there is no more.
pub(crate) struct Malloc;

#[global_allocator]
static MALLOC: Malloc = Malloc;

// SAFETY: every method passes its arguments to `HugePages` and gives back what that gave, or does
// not return.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is `HugePages`'s.
        some_or_exit(unsafe { HugePages.alloc(layout) })
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is `HugePages`'s.
        unsafe { HugePages.dealloc(start, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is `HugePages`'s.
        some_or_exit(unsafe { HugePages.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's contract is `HugePages`'s.
        some_or_exit(unsafe { HugePages.realloc(start, layout, size) })
    }
}

fn some_or_exit(start: *mut u8) -> *mut u8 {
    if start.is_null() {
        exit_out_of_memory();
    }
    start
}

pub(crate) fn exit_out_of_memory() -> ! {
    // SAFETY: `_exit` takes any number and needs no state: no destructor runs, no lock is taken.
    unsafe { libc::_exit(EXIT_OUT_OF_MEMORY) }
}

/// The engine calls this when it could not allocate, before it throws `out of memory`.
///
/// A heap at its limit, or a process that can get little more, is the end. A single allocation too
/// large to have (`new ArrayBuffer(1e12)`) is the script's to catch.
pub(crate) unsafe extern "C" fn on_out_of_memory(cx: *mut RawJSContext, _: *mut c_void) {
    if is_heap_full(cx) || !can_allocate(BREATHING_ROOM_BYTES) {
        exit_out_of_memory();
    }
}

/// The engine calls this around every collection.
///
/// A heap that stays nearly full makes the engine collect ever more often to get on ever less: better
/// to end it than to let it burn its owner's time.
pub(crate) unsafe extern "C" fn on_collection(
    cx: *mut RawJSContext,
    status: JSGCStatus,
    reason: GCReason,
    _: *mut c_void,
) {
    // Those that were asked for come at any time and say nothing about haste.
    if status != JSGCStatus::JSGC_END || reason == GCReason::API {
        return;
    }
    let full = is_heap_full(cx);
    let in_vain = if full {
        core().collections_in_vain.get() + 1
    } else {
        0
    };
    core().collections_in_vain.set(in_vain);
    if in_vain >= COLLECTIONS_IN_VAIN_MAX {
        exit_out_of_memory();
    }
}

fn is_heap_full(cx: *mut RawJSContext) -> bool {
    // SAFETY: callers pass the live context the engine called them with; reading changes nothing.
    let heap_bytes = unsafe { JS_GetGCParameter(cx, JSGCParamKey::JSGC_BYTES) };
    // The last tenth may be fragmentation.
    u64::from(heap_bytes) >= core().heap_bytes_max.get() / 10 * 9
}

fn can_allocate(bytes: usize) -> bool {
    // SAFETY: the memory is freed right away and never touched; `free` takes null.
    unsafe {
        // The compiler removes a `malloc` that it sees freed.
        let start = std::hint::black_box(libc::malloc(bytes));
        libc::free(start);
        !start.is_null()
    }
}

/// The engine calls this when an allocation of more than some 25 MB failed, before it tries again:
/// the time to let go of what nobody uses. Helper threads have no garbage of their own.
pub(crate) unsafe extern "C" fn on_large_allocation_failure() {
    // SAFETY: the engine calls this where it may collect, and holds no `JSContext` of ours meanwhile.
    if let Some(mut cx) = unsafe { JSContext::get_from_thread() } {
        turn::collect(&mut cx, GCOptions::Shrink);
    }
}
