//! A few of the engine's own errors, said as V8 says them.
//!
//! Code for Workers tests for `RangeError` and "Maximum call stack size exceeded" where recursion
//! ran too deep; SpiderMonkey throws its `InternalError` there. And a method of the platform that is called
//! on something else says so in the words of the documentation of Workers ("Illegal invocation"): the
//! platform keeps its state in private fields. The engine's errors are rows of one constant table, so the
//! rows are changed, once, before the first script runs.
//!
//! Deliberately absent: the string "out of memory", which the engine throws where it cannot make an
//! object. It is a constant of the engine's that no embedder can change, so a `catch` of the Worker's own
//! sees it; whoever hears of it from outside gets a `RangeError` (`platform/cloudflare/failures.ts`).
//!
//! Invariant: a row is changed only while it reads as it does in the engine this was written for.

use std::ffi::{CStr, c_void};
use std::ptr;

use mozjs::jsapi::js::GetErrorMessage;
use mozjs::jsapi::{JSErrNum, JSErrorFormatString, JSExnType};

struct Row {
    number: JSErrNum,
    /// How the engine words it.
    from: &'static CStr,
    to: &'static CStr,
    class: JSExnType,
}

const ILLEGAL_INVOCATION: &CStr = c"Illegal invocation: function called with incorrect `this` reference. \
    See https://developers.cloudflare.com/workers/observability/errors/#illegal-invocation-errors for details.";

const ROWS: [Row; 6] = [
    Row {
        number: JSErrNum::JSMSG_OVER_RECURSED,
        from: c"too much recursion",
        to: c"Maximum call stack size exceeded",
        class: JSExnType::JSEXN_RANGEERR,
    },
    Row {
        number: JSErrNum::JSMSG_ALLOC_OVERFLOW,
        from: c"allocation size overflow",
        to: c"allocation size overflow",
        class: JSExnType::JSEXN_RANGEERR,
    },
    Row {
        number: JSErrNum::JSMSG_OUT_OF_MEMORY,
        from: c"out of memory",
        to: c"out of memory",
        class: JSExnType::JSEXN_RANGEERR,
    },
    Row {
        number: JSErrNum::JSMSG_RESULTING_STRING_TOO_LARGE,
        from: c"repeat count must be less than infinity and not overflow maximum string size",
        to: c"Invalid string length",
        class: JSExnType::JSEXN_RANGEERR,
    },
    Row {
        number: JSErrNum::JSMSG_GET_MISSING_PRIVATE,
        from: c"can't access private field or method: object is not the right class",
        to: ILLEGAL_INVOCATION,
        class: JSExnType::JSEXN_TYPEERR,
    },
    Row {
        number: JSErrNum::JSMSG_SET_MISSING_PRIVATE,
        from: c"can't set private field: object is not the right class",
        to: ILLEGAL_INVOCATION,
        class: JSExnType::JSEXN_TYPEERR,
    },
];

/// Gives each row its words and class. A row that cannot be changed stays as it is: the class of an
/// error is no reason to end a process.
pub(crate) fn speak_as_v8() {
    for row in &ROWS {
        // SAFETY: the number is one of the table's own, and the row it points to, with its strings,
        // lives as long as the program.
        unsafe {
            let found = GetErrorMessage(ptr::null_mut(), row.number as u32).cast_mut();
            if found.is_null() || CStr::from_ptr((*found).format) != row.from || !writable(found) {
                continue;
            }
            (*found).format = row.to.as_ptr();
            (*found).exnType = row.class as _;
        }
    }
}

/// Makes the pages of a row writable; the loader made them read-only after it had placed the
/// table's pointers.
fn writable(row: *mut JSErrorFormatString) -> bool {
    // SAFETY: sysconf has no preconditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let Ok(page) = usize::try_from(page) else {
        return false;
    };
    let start = row.addr() / page * page;
    let length = row.addr() + size_of::<JSErrorFormatString>() - start;
    // SAFETY: the pages are this program's own constant data. Nothing relies on their being
    // read-only, and one thread runs: the engine has not started yet.
    unsafe {
        libc::mprotect(
            row.with_addr(start).cast::<c_void>(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
        ) == 0
    }
}
