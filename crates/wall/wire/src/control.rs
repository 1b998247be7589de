//! The control socket between the host and one zygote: `SOCK_SEQPACKET`, one message a packet.
//!
//! The zygote answers each `Fork` with one `Forked` packet per guest, whose ancillary data carries
//! two or three descriptors (`SCM_RIGHTS`): the host's end of the guest's socket, the guest's pidfd, and
//! where there is one the memory of its mailbox.
//! It reaps its children and reports each with `Exited`.

use crate::codec::{wire_enum, wire_struct};

wire_enum! {
    /// What the host asks of a zygote.
    ToZygote {
        /// Fork `count` guests, at most [`crate::bounds::FORK_COUNT_MAX`].
        1 = Fork { count: u32, },
        /// Fork no more; end when the last child has.
        2 = Retire {},
    }
}

wire_enum! {
    /// What a zygote reports.
    FromZygote {
        /// First packet: ready to fork.
        1 = Ready {
            /// [`crate::VERSION`] of the guest binary.
            version: String,
            /// Sandbox layers set up in the zygote and inherited by its guests.
            layers: Vec<Layer>,
            /// Threads at this moment; the host refuses a zygote with more than one.
            threads: u32,
        },
        /// A guest was forked; its descriptors come with it.
        2 = Forked {
            /// Its pid in the zygote's namespace; names it in `Exited`.
            pid: u32,
        },
        /// A guest ended and was reaped.
        3 = Exited {
            pid: u32,
            end: End,
            /// CPU time that the kernel counted for it, all threads, until it was no more.
            cpu_us: u64,
        },
        /// A fork failed; nothing comes with it.
        4 = ForkFailed { error: String, },
        /// The zygote cannot become ready; it exits after this.
        5 = Unready { error: String, },
    }
}

wire_struct! {
    /// A layer of the sandbox and whether this kernel gave it.
    Layer {
        name: String,
        active: bool,
        /// Why not, where it is not.
        reason: String,
    }
}

wire_enum! {
    /// How a process ended.
    End {
        1 = Exit { code: i32, },
        2 = Signal { signal: i32, },
    }
}
