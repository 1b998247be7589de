//! Every bound of the supervisor, with its reason. Those of the wire stand in `mayfly_wire::bounds`.
//!
//! A bound that an operator may want to move is the default of a field of [`crate::Options`];
//! the others are fixed here.

use mayfly_wire::bounds::{FRAME_BYTES_MAX, STREAM_WINDOW_BYTES};
use std::time::Duration;

/// Bytes that wait for a guest to read them. Above this the guest is ended: it does not read. Room
/// for the largest `Start` and a busy Worker's calls behind it.
pub const OUT_BYTES_MAX: usize = FRAME_BYTES_MAX + 64 * 1024 * 1024;

/// Bytes waiting for a guest above which new calls to it are refused as overloaded.
pub const OUT_BYTES_BUSY: usize = FRAME_BYTES_MAX;

/// Bytes of one read from a guest's socket: the kernel's default socket buffer holds little more.
pub const READ_BYTES: usize = 128 * 1024;

/// Bytes of one guest's frames handled before other tasks get their turn.
pub const TURN_BYTES_MAX: usize = 1024 * 1024;

/// Time on one guest's frames before other tasks get their turn: a megabyte of the smallest frames
/// takes a hundred times as long as one of the largest.
pub const TURN_TIME_MAX: Duration = Duration::from_micros(500);

/// Bytes of one read from a guest whose last read took longer than that to handle.
pub const READ_BYTES_COSTLY: usize = 4 * 1024;

/// CPU that a call may use at once before its guest gives way to others: a few times what most use in
/// all, and what the CPU watch can tell.
pub const PATIENT_CPU: Duration = Duration::from_millis(10);

/// One of so many parts of a core is what a call may use for as long as it likes without being counted
/// as one that computes for long: a chat over a WebSocket, say.
pub const COOLING: u32 = 4;

/// Exchanges with the internet and connections to it that one guest has under way; further ones wait for
/// their turn. Each takes a descriptor of the host's, and up to 16 MiB where its answer is compressed.
pub const EGRESS_AT_ONCE_MAX: usize = 256;

/// Unread stream bytes of one writing guest, all streams together: what a hoarder of streams can
/// make the host or a reader hold.
pub const STREAM_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Bytes of streams that wait for one guest to read them or to pass them on: 32 full windows. What comes
/// above that is sent to it unasked, where [`OUT_BYTES_MAX`] bounds it.
pub const UNASKED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Bytes of values and code that one guest makes the host hold: calls not delivered yet, props of its
/// stubs, code it loaded. Room for a few Workers of the largest size.
pub const HELD_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Capabilities that a guest takes on before the host asks it to collect garbage: its engine does not
/// know that a stub of a hundred bytes stands for a process or for megabytes of code.
pub const COLLECT_CAPS: usize = 4096;

/// The same for bytes it makes the host hold.
pub const COLLECT_BYTES: u64 = 64 * 1024 * 1024;

/// Calls that wait for one Worker to be loaded and started.
pub const WORKER_QUEUE_MAX: usize = 10_000;

/// Workers that wait for a guest at once.
pub const POOL_QUEUE_MAX: usize = 10_000;

/// How long a Worker waits for a guest before its callers hear "overloaded".
pub const POOL_WAIT_MAX: Duration = Duration::from_secs(30);

/// Calls that wait on the answer of one call that itself waits.
pub const PIPELINE_QUEUE_MAX: usize = 4096;

/// Bytes of an id given to `get()`: part of a cache key that the host keeps.
pub const ID_BYTES_MAX: usize = 2048;

/// Bytes of an entrypoint's name.
pub const NAME_BYTES_MAX: usize = 1024;

/// Bytes of serialised `ctx.props`: kept as long as the stub, like `env`.
pub const PROPS_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a reason given with a cancel; longer ones are cut.
pub const REASON_BYTES_MAX: usize = 1024;

/// Bytes of an error's text and stack; longer ones are cut.
pub const FAILURE_BYTES_MAX: usize = 64 * 1024;

/// Loaders nested in loaders: a Worker that loads a Worker that loads itself ends here.
pub const LOADER_DEPTH_MAX: u32 = 32;

/// Modules of one Worker.
pub const MODULES_MAX: usize = 10_000;

/// Tails of one Worker.
pub const TAILS_MAX: usize = 32;

/// Log lines that the guest of a configured Worker may write in a second; the rest are counted and
/// dropped.
pub const LOG_LINES_PER_SECOND_MAX: u32 = 20_000;

/// The same for a dynamic Worker: the printing of so many is some milliseconds of the host's, which its
/// neighbours do not notice.
pub const DYNAMIC_LOG_LINES_PER_SECOND_MAX: u32 = 1_000;

/// How long a guest that goes on writing lines beyond that is not read: reading what is dropped takes the host
/// as long as writing it takes the guest, and its neighbours would find both cores taken.
pub const LOG_FLOOD_PAUSE: Duration = Duration::from_millis(2);

/// Bytes of event, logs, exceptions and diagnostics kept for one trace item, the documented limit.
pub const TRACE_BYTES_MAX: usize = 256 * 1024;

/// The same, of all traces of one guest: room for a hundred that are full.
pub const GUEST_TRACE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The same, of all traces of the host.
pub const TRACES_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Spans of one invocation.
pub const SPANS_MAX: usize = 10_000;

/// Traces of one guest that wait for objects of their invocations to be released.
pub const TRACES_HELD_MAX: usize = 256;

/// Bytes of events that wait for one streaming tail to hear of one invocation.
pub const SESSION_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The same, of all of them.
pub const SESSIONS_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How far tails that tell of tails go: enough for a tail's tail, and an end to a circle.
pub const TAIL_GENERATIONS_MAX: u32 = 3;

/// Trace items on their way to tails, whole host. Above this they are dropped and counted.
pub const TRACES_UNDER_WAY_MAX: usize = 4096;

/// How long to wait for the reason of a guest's end after its socket closed. Callers hear of the
/// end within 50 ms, so this leaves room.
pub const EXIT_WAIT: Duration = Duration::from_millis(35);

/// How often running guests' CPU clocks are read.
pub const CPU_TICK: Duration = Duration::from_millis(5);

/// How often idle guests are looked at: idle time, memory, CPU used with nothing to do.
pub const SWEEP_TICK: Duration = Duration::from_millis(500);

/// CPU that a guest may use between two sweeps with no call in flight: timers and collection.
pub const IDLE_CPU_MAX: Duration = Duration::from_millis(400);

/// Guests whose memory is sampled in one sweep.
pub const SWEEP_SAMPLES_MAX: usize = 256;

/// How long a zygote may take until it is ready.
pub const ZYGOTE_READY_MAX: Duration = Duration::from_secs(20);

/// First and longest pause before a zygote that failed is started again.
pub const ZYGOTE_PAUSE_FIRST: Duration = Duration::from_millis(50);
/// See [`ZYGOTE_PAUSE_FIRST`].
pub const ZYGOTE_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Collector heap of a guest, unless options say otherwise.
pub const HEAP_BYTES_DEFAULT: u64 = 128 * 1024 * 1024;

/// CPU until a Worker's main module has been evaluated, unless options say otherwise.
pub const STARTUP_CPU_DEFAULT: Duration = Duration::from_secs(1);

/// CPU after which a guest that has not said `Started` is asked: what it uses beyond belongs either
/// to its main module or to the request behind it, which have limits of their own.
pub const STARTUP_ASK: Duration = Duration::from_millis(20);

/// How long an invocation whose wall time is over may take to end by itself; its caller has heard.
pub const WALL_GRACE: Duration = Duration::from_millis(500);

/// How long guests that are called in turn stay awake where nothing is said: two or three times what waking
/// an idle core takes.
pub const AWAKE_DEFAULT: Duration = Duration::from_micros(120);

/// Distinct dynamic Workers that one Worker may have at work at once, unless options say otherwise:
/// half of the processes that a pool holds ready in a burst, times the cores of a small machine.
pub const WORKERS_IN_FLIGHT_DEFAULT: usize = 128;

/// Calls that wait for a dynamic Worker's turn, of one calling Worker.
pub const WORKERS_QUEUE_MAX: usize = 1024;

/// Memory beside what a Worker may have: what was inherited from the zygote and the engine's own.
pub const GUEST_BYTES_BESIDE: u64 = 128 * 1024 * 1024;

/// Bytes that a guest may have said and not been heard, since what it wrote before is not durable yet.
/// Above this its socket is not read.
pub const GATE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A question to storage that took longer has the next one answered where no other task waits for
/// the thread. Cheaper questions are answered on the spot: a change of threads costs more than they do.
pub const SLOW_QUESTION: Duration = Duration::from_millis(1);

/// How deep facets are nested, the object itself included; as workerd has it.
pub const FACET_DEPTH_MAX: u32 = 4;

/// Objects that live in one guest before another guest is given the next ones: beyond it one guest's
/// turns, and its end, concern too many.
pub const OBJECTS_PER_GUEST: usize = 1000;

/// CPU that a guest may use without a word before its idle objects move elsewhere.
pub const STALLED_AFTER: Duration = Duration::from_millis(30);

/// WebSockets that the host holds for one object; as documented.
pub const SOCKETS_MAX: usize = 32_768;

/// Tags of one of them; as documented.
pub const SOCKET_TAGS_MAX: usize = 10;

/// Chars of a tag; as documented.
pub const SOCKET_TAG_CHARS_MAX: usize = 256;

/// Bytes that an object keeps with a WebSocket; as workerd has it.
pub const SOCKET_ATTACHMENT_BYTES_MAX: usize = 16_384;

/// Bytes of an auto-response's request, and of its response; as documented.
pub const AUTO_RESPONSE_BYTES_MAX: usize = 2048;

/// What keeping one message on a socket is counted as besides its bytes: many small or empty ones
/// take the host's memory too.
pub const SOCKET_SAID_BYTES: usize = 128;

/// Bytes that an object may have said on one socket and that the other side has not taken: two of the
/// largest messages. A socket beyond it is dropped.
pub const SOCKET_UNSENT_BYTES_MAX: usize = 64 * 1024 * 1024 + 64 + 2 * SOCKET_SAID_BYTES;

/// How long the other side may take to answer a close.
pub const SOCKET_CLOSE_WAIT: Duration = Duration::from_secs(30);

/// Facets of one object that run or are held at once.
pub const FACETS_MAX: usize = 4096;

/// Chars of a facet's name; as workerd has it.
pub const FACET_NAME_BYTES_MAX: usize = 1024;

/// How often a failed alarm is tried again, and the pause before the first of these tries, which
/// doubles: as documented.
pub const ALARM_RETRIES_MAX: u32 = 6;
/// See [`ALARM_RETRIES_MAX`].
pub const ALARM_RETRY_FIRST: Duration = Duration::from_secs(2);

/// Alarm handlers that run at once, whole host. The rest wait for their turn.
pub const ALARMS_AT_ONCE_MAX: usize = 1024;

const _: () = assert!(HELD_BYTES_MAX > 2 * FRAME_BYTES_MAX as u64);
const _: () = assert!(COLLECT_BYTES < HELD_BYTES_MAX);
const _: () = assert!(OUT_BYTES_BUSY < OUT_BYTES_MAX);
const _: () = assert!(STREAM_BYTES_MAX > STREAM_WINDOW_BYTES as u64);
