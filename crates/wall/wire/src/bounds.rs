//! Every bound of the wire, with its reason. A frame that breaks one is refused by name.

/// Bytes of body one `StreamData` frame may carry. A chunk is cut to this size so that a cancel
/// never waits behind more than this.
pub const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// Bytes a stream's writer may have sent and its reader not yet granted back. Grants come in quarters, each
/// of which wakes the writer once.
pub const STREAM_WINDOW_BYTES: u32 = 512 * 1024;

/// Bytes of a body that travels inside its message's own frame rather than as a stream. A stream costs a
/// wake-up for each chunk and one for its credit: a JSON echo of 100 KB took twice as long as one.
pub const INLINE_BODY_BYTES_MAX: usize = 128 * 1024;

/// Bytes of one RPC message, Cloudflare's documented limit.
pub const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes of one WebSocket message, Cloudflare's documented limit.
pub const SOCKET_MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes of `host:port` that a connection is asked for: a domain name has at most 255, a port 5.
pub const AUTHORITY_BYTES_MAX: usize = 512;

/// Bytes of all modules of a Worker together.
pub const CODE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of a Worker's serialised `env`.
pub const ENV_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a request's or response's head: method, URL and headers.
pub const HEAD_BYTES_MAX: usize = 256 * 1024;

/// Bytes of any one frame: the largest content (code and env) and room for its names.
pub const FRAME_BYTES_MAX: usize = CODE_BYTES_MAX + ENV_BYTES_MAX + 1024 * 1024;

/// Items of any one list: modules, headers, attachments, names. It bounds what decoding allocates
/// beyond the bytes themselves, since a list of empty items takes more memory than wire.
pub const LIST_ITEMS_MAX: usize = 65_536;

/// Bytes of one log line; longer ones are cut and say so.
pub const LOG_BYTES_MAX: usize = 16 * 1024;

/// Bytes of one log line's values, or of one diagnostic message, for tails: what the documented limit
/// of a whole trace allows.
pub const LOG_MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// Bytes of a span's name or its attributes, or of a diagnostic channel's name.
pub const SPAN_BYTES_MAX: usize = 64 * 1024;

/// Attachments (capabilities and streams) of one payload.
pub const ATTACHMENTS_MAX: usize = 1024;

/// Property names in one call's path.
pub const PATH_SEGMENTS_MAX: usize = 64;

/// Calls a guest may have under way at once, each way.
pub const CALLS_MAX: usize = 4096;

/// Capabilities a guest may hold at once.
pub const CAPS_MAX: usize = 65_536;

/// Streams a guest may have open at once.
pub const STREAMS_MAX: usize = 8192;

/// Guests that one `Fork` may ask for.
pub const FORK_COUNT_MAX: u32 = 64;

const _: () = assert!(INLINE_BODY_BYTES_MAX <= STREAM_WINDOW_BYTES as usize);
const _: () = assert!(CHUNK_BYTES_MAX < STREAM_WINDOW_BYTES as usize);
const _: () = assert!(FRAME_BYTES_MAX < u32::MAX as usize);
