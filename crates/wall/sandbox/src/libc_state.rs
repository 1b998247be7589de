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

/// Reads the time zone that the environment names. Local times need it from then on and do not
/// look again, since nothing changes the environment.
pub fn read_time_zone() {
    // SAFETY: the call takes nothing. It reads the environment, which no other thread changes: the
    // caller is a zygote that is starting, and this crate's users never set a variable.
    unsafe { tzset() };
}
