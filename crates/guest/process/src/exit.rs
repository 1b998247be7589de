//! Exit codes of the guest binary, for the host to tell ends apart.
//!
//! A guest has no descriptor to say more on; its last frames and this number are all there is. Out of
//! memory has a code of the engine's own.

pub use mayfly_engine::EXIT_OUT_OF_MEMORY;

/// The socket ended: the host wants nothing more.
pub const DONE: i32 = 0;

/// Started by hand, or with arguments it does not know.
pub const USAGE: i32 = 2;

/// The zygote cannot become ready; `Unready` said why.
pub const UNREADY: i32 = 64;

/// A guest could not seal its sandbox and will run nothing.
pub const UNSEALED: i32 = 65;

/// The host sent something that is no frame, or not in its place.
pub const PROTOCOL: i32 = 66;

/// The platform's own handlers failed; the last frame is an `Exception` that says how.
pub const PLATFORM: i32 = 67;

/// The kernel refused something that has no reason to fail.
pub const SYSTEM: i32 = 68;

/// The Worker called `abortIsolate()`; the last frame is an `Exception` with its reason.
pub const ABORTED: i32 = 69;

const _: () = assert!(ABORTED < EXIT_OUT_OF_MEMORY);
