//! The C library's heap, as a forked and sealed process needs it.

/// Keeps `malloc` to one arena. A further one, made for each helper thread, would reserve 64 MiB,
/// cost page tables, and open a file of `/proc` when it shrinks, for which seccomp would kill.
///
/// Call it before the first thread starts.
pub fn use_one_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes two integers. It fails on no value of this parameter.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
