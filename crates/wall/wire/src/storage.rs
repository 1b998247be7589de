//! What a Durable Object's instance asks of its storage, and what it is told.
//!
//! One question, one reply, in order, on the guest's own socket: the guest waits for the reply before
//! it goes on, because `sql.exec()` and its kind are synchronous in JavaScript. The host opens the
//! database, so neither paths nor handles cross, and an instance names nothing but itself.

use crate::codec::{Blob, wire_enum, wire_struct};
use crate::frames::CapId;

wire_enum! {
    /// A value of SQLite's. Integers travel as numbers, as JavaScript has them.
    SqlValue {
        1 = Null {},
        2 = Number { number: f64, },
        3 = Text { text: String, },
        4 = Blob { bytes: Blob, },
    }
}

wire_enum! {
    /// A question. Every field is hostile.
    StorageRequest {
        /// Run SQL; the bindings are those of its last statement.
        1 = Exec { sql: String, bindings: Vec<SqlValue>, },
        /// More rows of a cursor.
        2 = More { cursor: u32, },
        /// Nobody reads a cursor any more.
        3 = Close { cursor: u32, },
        /// Run the whole statements at the beginning of `sql`.
        4 = Ingest { sql: String, },
        /// Values by their keys, in order.
        5 = Get { keys: Vec<String>, },
        6 = Put { entries: Vec<(String, Blob)>, },
        7 = Delete { keys: Vec<String>, },
        8 = List {
            start: Option<String>,
            /// `start` itself is left out.
            start_after: bool,
            end: Option<String>,
            prefix: String,
            reverse: bool,
            limit: Option<u32>,
        },
        /// Forget everything but, where asked, the alarm.
        9 = DeleteAll { alarm: bool, },
        /// Bytes of the database.
        10 = Size {},
        /// Begin a transaction, inside the one under way if there is one.
        11 = Begin {},
        /// End the innermost transaction, keeping what it did.
        12 = Commit {},
        /// End the innermost transaction as if it had never begun.
        13 = Rollback {},
        14 = GetAlarm {},
        /// Milliseconds since the epoch; `None` deletes it.
        15 = SetAlarm { time_ms: Option<f64>, },
        /// Where the database is now, as a text that grows.
        16 = Bookmark {},
        /// A page limit below the default one, for tests of a full database.
        17 = LimitPages { pages: u32, },
        /// `ctx.acceptWebSocket()` of one end of a fresh pair: the host holds it from now on. The answer
        /// is its number, by which the guest gives the other end to whoever gets it.
        45 = AcceptSocket { tags: Vec<String>, },
        /// Sockets that the host holds for the object, all or those with a tag.
        46 = Sockets { tag: Option<String>, },
        47 = SocketTags { socket: u32, },
        48 = SocketAttachment { socket: u32, },
        49 = SetSocketAttachment { socket: u32, attachment: Blob, },
        /// A message of text that the host answers itself; none where `request` is absent.
        50 = SetAutoResponse { request: Option<String>, response: String, },
        51 = AutoResponse {},
        /// When the host last answered a socket's message itself.
        52 = AutoResponseTime { socket: u32, },
        /// How long an event of a socket may take.
        53 = SetSocketTimeout { ms: Option<u32>, },
        54 = SocketTimeout {},
        /// The bookmark of a time.
        55 = BookmarkAt { time_ms: f64, },
        /// The next session begins at a bookmark. The answer is one to undo it with.
        56 = Restore { bookmark: String, },
        /// A stub as bytes that can be stored; the reply is one value.
        100 = Token { cap: CapId, },
        /// Makes the stub of a stored token, in slot `cap`; the reply says its kind.
        101 = Redeem { cap: CapId, token: Blob, },
    }
}

wire_struct! {
    /// The answer to one question.
    StorageReply {
        /// Writes wait for the end of the turn: the guest must say `Settled`.
        open: bool,
        result: StorageResult,
    }
}

wire_enum! {
    /// What came of it.
    StorageResult {
        1 = Done {},
        2 = Rows {
            /// Of the whole result; empty in what `More` brings.
            columns: Vec<String>,
            /// Row after row.
            values: Vec<SqlValue>,
            /// Rows in `values`.
            count: u32,
            /// Where there are more.
            cursor: Option<u32>,
            /// Rows that the statement looked at, where the host can tell.
            rows_read: u64,
            rows_written: u64,
            /// The statement had been compiled before.
            cached: bool,
        },
        /// To `Get`.
        3 = Values { values: Vec<Option<Blob>>, },
        /// To `List`.
        4 = Entries { entries: Vec<(String, Blob)>, },
        /// To `Delete` (keys that were there) and `Size`.
        5 = Count { count: u64, },
        /// To `GetAlarm`.
        6 = Time { time_ms: Option<f64>, },
        /// To `Bookmark`.
        7 = Text { text: String, },
        /// To `Ingest`.
        8 = Ingested { remainder: String, rows_read: u64, rows_written: u64, statements: u32, },
        /// It failed; `name` is the error's class.
        9 = Failed { name: String, message: String, },
        /// To `Sockets`, the youngest first.
        45 = Sockets {
            sockets: Vec<u32>,
            /// Those of them that the object has closed already.
            closed: Vec<u32>,
        },
        /// To `SocketTags`, and to `AutoResponse`: request and response, or nothing.
        46 = Texts { texts: Vec<String>, },
    }
}

wire_enum! {
    /// What a stored stub leads to. It never crosses a socket as it is: the host signs it.
    StoredStub {
        1 = Service { worker: String, entrypoint: String, props: Blob, stubs: Vec<Blob>, },
        2 = Class { worker: String, class: String, props: Blob, stubs: Vec<Blob>, },
        3 = Actor { worker: String, class: String, id: Blob, name: Option<String>, },
        /// What `[restore](args)` of what `from` leads to gives.
        70 = Restored {
            /// A token, as those of the stubs in `args` are.
            from: Blob,
            args: Blob,
            stubs: Vec<Blob>,
            /// It gave a service and not an object.
            service: bool,
        },
    }
}
