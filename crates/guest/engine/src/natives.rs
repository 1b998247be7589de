//! Native functions as JavaScript sees them: the one trampoline of all ops, and its like for the
//! engine's own members.
//!
//! Every op is the same native function; a reserved slot of the function object holds its number in
//! the table. Arguments are copied out before the op's `&mut S` exists and results are made after it
//! is gone, so an op can neither run JavaScript nor be entered twice.
//!
//! Invariant: a panic never crosses C++. These functions are `extern "C"`, so Rust prints the panic
//! and aborts the process.

use std::cell::Cell;
use std::ffi::CString;
use std::ptr::{self, NonNull};

use mozjs::context::{JSContext, RawJSContext};
use mozjs::jsapi::{
    CallArgs, GetFunctionNativeReserved, JSObject, JSPROP_ENUMERATE, SetFunctionNativeReserved,
};
use mozjs::jsval::{Int32Value, JSVal, UndefinedValue};
use mozjs::rooted;
use mozjs::rust::HandleObject;
use mozjs::rust::wrappers2::{JS_DefineProperty3, NewFunctionWithReserved};

use crate::convert;
use crate::data::{Args, Buffers, Data, OpDecl, OpFn};
use crate::throw::{self, Thrown};

/// The most arguments an op is given; those after it are not looked at.
const ARGUMENTS_MAX: u32 = 16;

/// The reserved slot that holds an op's number.
const NUMBER_SLOT: usize = 0;

struct OpTable<S> {
    functions: Vec<(OpFn<S>, Buffers)>,
    state: *mut S,
}

thread_local! {
    /// The `OpTable<S>` of this process' engine, whose `S` its trampolines know.
    static TABLE: Cell<*const ()> = const { Cell::new(ptr::null()) };
}

/// A member of the `engine` object.
pub(crate) type Native = fn(&mut JSContext, &CallArgs) -> Result<JSVal, Thrown>;

/// Defines a native function over values on `object`.
pub(crate) fn define_native(
    cx: &mut JSContext,
    object: HandleObject,
    name: &'static std::ffi::CStr,
    call: unsafe extern "C" fn(*mut RawJSContext, u32, *mut JSVal) -> bool,
) -> Result<(), Thrown> {
    define_numbered(cx, object, name, call, 0)
}

fn define_numbered(
    cx: &mut JSContext,
    object: HandleObject,
    name: &std::ffi::CStr,
    call: unsafe extern "C" fn(*mut RawJSContext, u32, *mut JSVal) -> bool,
    number: i32,
) -> Result<(), Thrown> {
    let function = make_numbered(cx, name, call, number)?;
    rooted!(&in(cx) let function = function);
    // SAFETY: both objects are rooted; `name` is NUL-terminated.
    let defined = unsafe {
        JS_DefineProperty3(
            cx,
            object,
            name.as_ptr(),
            function.handle(),
            JSPROP_ENUMERATE as u32,
        )
    };
    if defined { Ok(()) } else { Err(Thrown) }
}

/// Makes a native function that carries a number. It is not rooted.
pub(crate) fn make_numbered(
    cx: &mut JSContext,
    name: &std::ffi::CStr,
    call: unsafe extern "C" fn(*mut RawJSContext, u32, *mut JSVal) -> bool,
    number: i32,
) -> Result<*mut JSObject, Thrown> {
    // SAFETY: `name` is NUL-terminated and copied; the function made is an extended one, so it has
    // the slot written to, before anything can collect it. A JSFunction is a JSObject.
    unsafe {
        let function = NewFunctionWithReserved(cx, Some(call), 0, 0, name.as_ptr());
        let Some(function) = NonNull::new(function) else {
            return Err(Thrown);
        };
        let object: *mut JSObject = function.as_ptr().cast();
        SetFunctionNativeReserved(object, NUMBER_SLOT, &Int32Value(number));
        Ok(object)
    }
}

/// The number a function made by `make_numbered` carries.
pub(crate) fn number_of(arguments: &CallArgs) -> i32 {
    // SAFETY: only functions that `make_numbered` made have natives that ask.
    unsafe { (*GetFunctionNativeReserved(arguments.callee(), NUMBER_SLOT)).to_int32() }
}

/// Runs the body of a native function.
///
/// # Safety
/// `cx`, `count` and `values` are what the engine called a native function with.
pub(crate) unsafe fn enter(
    cx: *mut RawJSContext,
    count: u32,
    values: *mut JSVal,
    body: impl FnOnce(&mut JSContext, &CallArgs) -> Result<JSVal, Thrown>,
) -> bool {
    // SAFETY: the caller's contract. The context is ours alone until we return to the engine.
    let (mut cx, arguments) = unsafe {
        (
            JSContext::from_ptr(NonNull::new(cx).expect("the engine passes its context")),
            CallArgs::from_vp(values, count),
        )
    };
    match body(&mut cx, &arguments) {
        Ok(value) => {
            arguments.rval().set(value);
            true
        }
        Err(Thrown) => false,
    }
}

/// Declares an `extern "C"` native named `$name` with the body of a [`Native`].
macro_rules! native {
    ($name:ident, $body:expr) => {
        unsafe extern "C" fn $name(
            cx: *mut ::mozjs::context::RawJSContext,
            count: u32,
            values: *mut ::mozjs::jsval::JSVal,
        ) -> bool {
            let body: $crate::natives::Native = $body;
            // SAFETY: these are the engine's own arguments to a native function.
            unsafe { $crate::natives::enter(cx, count, values, body) }
        }
    };
}
pub(crate) use native;

/// Defines all ops on the objects they name. `objects` answers by name.
pub(crate) fn define_ops<S: 'static>(
    cx: &mut JSContext,
    ops: &[OpDecl<S>],
    state: *mut S,
    object_named: impl Fn(&str) -> Option<*mut JSObject>,
) -> Result<(), Thrown> {
    let table = Box::leak(Box::new(OpTable {
        functions: ops.iter().map(|op| (op.function, op.buffers)).collect(),
        state,
    }));
    TABLE.set(ptr::from_ref(table).cast());
    for (number, op) in ops.iter().enumerate() {
        let Some(object) = object_named(op.object) else {
            let message = format!("op {}.{}: there is no such object", op.object, op.name);
            return Err(throw::throw_type_error(cx, &message));
        };
        rooted!(&in(cx) let object = object);
        let name = CString::new(op.name).unwrap_or_default();
        define_numbered(cx, object.handle(), &name, run_op::<S>, number as i32)?;
    }
    Ok(())
}

unsafe extern "C" fn run_op<S: 'static>(
    cx: *mut RawJSContext,
    count: u32,
    values: *mut JSVal,
) -> bool {
    // SAFETY: these are the engine's own arguments to a native function.
    unsafe {
        enter(cx, count, values, |cx, arguments| {
            // SAFETY: `define_ops::<S>` stored a table of this very `S`, leaked, before it made any
            // function that gets here; one engine exists in a process.
            let table = &*TABLE.get().cast::<OpTable<S>>();
            let (function, buffers) = table.functions[number_of(arguments) as usize];
            let mut taken = Vec::with_capacity(count.min(ARGUMENTS_MAX) as usize);
            for index in 0..count.min(ARGUMENTS_MAX) {
                let value = mozjs::rust::HandleValue::from_raw(arguments.get(index));
                if buffers == Buffers::Counted && value.get().is_object() {
                    let count = argument(arguments, index + 1);
                    taken.push(counted(cx, value, count)?);
                } else {
                    taken.push(convert::from_js_with(cx, value, buffers)?);
                }
            }
            // SAFETY: JavaScript runs only inside `&mut Engine<S>` methods, which hold no other
            // reference to the state meanwhile; ops do not run JavaScript, so this one is alone.
            let result = function(&mut *table.state, &mut Args::new(taken));
            match result {
                Ok(data) => convert::to_js(cx, data),
                Err(error) => Err(throw::throw_op_error(cx, &error)),
            }
        })
    }
}

/// The first `count` bytes of a view, or any other object as it is.
fn counted(
    cx: &mut JSContext,
    value: mozjs::rust::HandleValue,
    count: JSVal,
) -> Result<Data, Thrown> {
    if count.is_int32()
        && let Ok(count) = usize::try_from(count.to_int32())
    {
        rooted!(&in(cx) let object = value.get().to_object());
        if let Some(bytes) = convert::first_bytes_from_js(cx, object.handle(), count)? {
            return Ok(Data::Bytes(bytes));
        }
    }
    convert::from_js(cx, value)
}

/// Argument `index`, or undefined.
pub(crate) fn argument(arguments: &CallArgs, index: u32) -> JSVal {
    if index < arguments.argc_ {
        arguments.get(index).get()
    } else {
        UndefinedValue()
    }
}
