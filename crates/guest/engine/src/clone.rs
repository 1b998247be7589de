//! `structuredClone` of what the language has: the engine's own algorithm, with transfer.
//!
//! It knows nothing of the platform's classes; the platform takes those apart first.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::{self, NonNull};

use mozjs::context::{JSContext, RawJSContext};
use mozjs::jsapi::JS::{CloneDataPolicy, StructuredCloneScope};
use mozjs::jsapi::{JS_STRUCTURED_CLONE_VERSION, JSStructuredCloneCallbacks};
use mozjs::rust::wrappers2::{
    JS_IsExceptionPending, JS_ReadStructuredClone, JS_WriteStructuredClone,
};
use mozjs::rust::{HandleValue, JSAutoStructuredCloneBufferWrapper, MutableHandleValue};

use crate::data::OpError;
use crate::throw::{Thrown, throw_op_error};

static CALLBACKS: JSStructuredCloneCallbacks = JSStructuredCloneCallbacks {
    read: None,
    write: None,
    reportError: Some(report_error),
    readTransfer: None,
    writeTransfer: None,
    freeTransfer: None,
    canTransfer: None,
    sabCloned: None,
};

unsafe extern "C" fn report_error(
    cx: *mut RawJSContext,
    _number: u32,
    _closure: *mut c_void,
    message: *const c_char,
) {
    // SAFETY: the engine calls us with its live context, and with null or a C string.
    let (mut cx, message) = unsafe {
        let cx = JSContext::from_ptr(NonNull::new(cx).expect("the engine passes its context"));
        let message = if message.is_null() {
            "The object could not be cloned.".to_owned()
        } else {
            CStr::from_ptr(message).to_string_lossy().into_owned()
        };
        (cx, message)
    };
    data_clone_error(&mut cx, &message);
}

fn data_clone_error(cx: &mut JSContext, message: &str) -> Thrown {
    throw_op_error(
        cx,
        &OpError {
            class: "DataCloneError",
            message: message.to_owned(),
        },
    )
}

/// Clones `value`; `transfer` is an array of what moves, or undefined.
pub(crate) fn clone(
    cx: &mut JSContext,
    value: HandleValue,
    transfer: HandleValue,
    copy: MutableHandleValue,
) -> Result<(), Thrown> {
    let policy = CloneDataPolicy {
        allowIntraClusterClonableSharedObjects_: true,
        allowSharedMemoryObjects_: true,
    };
    // SAFETY: the buffer lives to the end of this function and frees what it owns; it is written
    // and read in the same scope with the same callbacks. All values are rooted by their handles.
    let cloned = unsafe {
        let buffer = JSAutoStructuredCloneBufferWrapper::new(
            StructuredCloneScope::SameProcess,
            &raw const CALLBACKS,
        );
        let data = &raw mut (*buffer.as_raw_ptr()).data_;
        JS_WriteStructuredClone(
            cx,
            value,
            data,
            StructuredCloneScope::SameProcess,
            &policy,
            &raw const CALLBACKS,
            ptr::null_mut(),
            transfer,
        ) && JS_ReadStructuredClone(
            cx,
            data,
            JS_STRUCTURED_CLONE_VERSION,
            StructuredCloneScope::SameProcess,
            copy,
            &policy,
            &raw const CALLBACKS,
            ptr::null_mut(),
        )
    };
    if cloned {
        return Ok(());
    }
    // SAFETY: asks only.
    if unsafe { !JS_IsExceptionPending(cx) } {
        return Err(data_clone_error(cx, "The object could not be cloned."));
    }
    Err(Thrown)
}
