//! `limits` as documented, and those of Mayfly's own: what may be allowed at most and at least.
//!
//! What happens where nothing is said is the supervisor's to know.

use mayfly_wire::Limits;

use super::{Root, number_of};
use crate::config::Caps;
use crate::fields::{Field, Reader};

/// What one invocation may be allowed at most: five minutes of CPU.
const CPU_MS_MAX: u32 = 300_000;

/// Sub-requests that one invocation may be allowed at most.
const SUB_REQUESTS_MAX: u32 = 10_000_000;

/// What an invocation may take at most: a day.
const WALL_MS_MAX: u32 = 24 * 60 * 60 * 1000;

/// Less than this the platform itself has no room in.
const MEMORY_MB_MIN: u32 = 16;

/// More than the engine can address in its heap.
const MEMORY_MB_MAX: u32 = 4095;

/// More than any pool has processes for.
const WORKERS_IN_FLIGHT_MAX: u32 = 100_000;

/// The documented `limits`.
pub fn limits(reader: &mut Reader<'_>, root: &Root<'_>) -> Limits {
    let fields = root
        .get("limits")
        .and_then(|field| reader.table_of(field, &["cpu_ms", "subrequests"]))
        .unwrap_or_default();
    let mut number = |name, most| number_of(reader, &fields, name, 1, most);
    Limits {
        cpu_ms: number("cpu_ms", CPU_MS_MAX),
        sub_requests: number("subrequests", SUB_REQUESTS_MAX),
    }
}

/// Limits of Mayfly's own, and of the documented ones those that `more` names.
pub fn caps(reader: &mut Reader<'_>, field: Option<&Field<'_>>, more: &[&str]) -> Caps {
    let own = ["wall_ms", "startup_ms", "memory_mb", "workers_in_flight"];
    let allowed = [more, &own].concat();
    let fields = field
        .and_then(|field| reader.table_of(field, &allowed))
        .unwrap_or_default();
    let mut number = |name, least, most| number_of(reader, &fields, name, least, most);
    Caps {
        cpu_ms: number("cpu_ms", 1, CPU_MS_MAX),
        sub_requests: number("subrequests", 1, SUB_REQUESTS_MAX),
        wall_ms: number("wall_ms", 1, WALL_MS_MAX),
        startup_ms: number("startup_ms", 1, CPU_MS_MAX),
        memory_mb: number("memory_mb", MEMORY_MB_MIN, MEMORY_MB_MAX),
        workers_in_flight: number("workers_in_flight", 1, WORKERS_IN_FLIGHT_MAX),
    }
}
