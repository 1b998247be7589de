//! Errors across the border: throwing from Rust, and reading what JavaScript threw.
//!
//! Reading is safe against hostile values: getters may throw, `toString` may throw, anything may be
//! thrown. What cannot be read is left empty.

use std::ffi::{CStr, CString, c_uint, c_void};
use std::ptr;

use mozjs::context::JSContext;
use mozjs::jsapi::{
    ExceptionStackBehavior, HandleValueArray, JS_ReportErrorNumberUTF8, JSErrorFormatString,
    JSExnType, JSObject,
};
use mozjs::jsval::{JSVal, ObjectValue, UndefinedValue};
use mozjs::rooted;
use mozjs::rust::wrappers2::{
    Construct1, JS_ClearPendingException, JS_GetPendingException, JS_GetProperty,
    JS_IsExceptionPending, JS_SetPendingException, JS_SetProperty,
};
use mozjs::rust::{HandleObject, HandleValue, ToString};

use crate::convert;
use crate::core::core;
use crate::data::OpError;

/// Marks that an exception is pending in the engine, or that JavaScript is being terminated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Thrown;

/// What a JavaScript-side failure looks like from Rust.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JsError {
    /// `TypeError`, ...; empty when a value that is no error was thrown.
    pub name: String,
    /// The message, or the value as a string.
    pub message: String,
    /// The engine's stack trace; for a SyntaxError, the position.
    pub stack: String,
}

impl std::fmt::Display for JsError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.name.is_empty() {
            write!(out, "{}: ", self.name)?;
        }
        write!(out, "{}", self.message)?;
        if !self.stack.is_empty() {
            write!(out, "\n{}", self.stack)?;
        }
        Ok(())
    }
}

impl std::error::Error for JsError {}

const fn format(name: &'static CStr, kind: JSExnType) -> JSErrorFormatString {
    JSErrorFormatString {
        name: name.as_ptr(),
        format: c"{0}".as_ptr(),
        argCount: 1,
        exnType: kind as i16,
    }
}

struct Formats([JSErrorFormatString; 5]);
// SAFETY: the pointers inside are to string literals, and nothing writes to them.
unsafe impl Sync for Formats {}

static FORMATS: Formats = Formats([
    format(c"MAYFLY_ERROR", JSExnType::JSEXN_ERR),
    format(c"MAYFLY_TYPE_ERROR", JSExnType::JSEXN_TYPEERR),
    format(c"MAYFLY_RANGE_ERROR", JSExnType::JSEXN_RANGEERR),
    format(c"MAYFLY_SYNTAX_ERROR", JSExnType::JSEXN_SYNTAXERR),
    format(c"MAYFLY_EVAL_ERROR", JSExnType::JSEXN_EVALERR),
]);

unsafe extern "C" fn error_format(_: *mut c_void, number: c_uint) -> *const JSErrorFormatString {
    &FORMATS.0[(number as usize).min(FORMATS.0.len() - 1)]
}

/// Throws an error of a class the language has; `Error` if it has not.
pub(crate) fn throw(cx: &mut JSContext, class: &str, message: &str) -> Thrown {
    let number = match class {
        "TypeError" => 1,
        "RangeError" => 2,
        "SyntaxError" => 3,
        "EvalError" => 4,
        _ => 0,
    };
    let message = CString::new(message.replace('\0', "\u{FFFD}")).unwrap_or_default();
    // SAFETY: `error_format` answers for every number; `message` is NUL-terminated UTF-8 that
    // outlives the call and is the one argument its format asks for.
    unsafe {
        JS_ReportErrorNumberUTF8(
            cx.raw_cx(),
            Some(error_format),
            ptr::null_mut(),
            number,
            message.as_ptr(),
        );
    }
    Thrown
}

pub(crate) fn throw_type_error(cx: &mut JSContext, message: &str) -> Thrown {
    throw(cx, "TypeError", message)
}

/// Throws what an op failed with. Classes that are no JavaScript error are DOMException names.
pub(crate) fn throw_op_error(cx: &mut JSContext, error: &OpError) -> Thrown {
    if matches!(
        error.class,
        "Error" | "TypeError" | "RangeError" | "SyntaxError"
    ) {
        return throw(cx, error.class, &error.message);
    }
    if core().dom_exception.get().is_null() {
        return throw_named(cx, error.class, &error.message);
    }
    throw_dom_exception(cx, error.class, &error.message)
}

fn throw_dom_exception(cx: &mut JSContext, name: &str, message: &str) -> Thrown {
    rooted!(&in(cx) let constructor = ObjectValue(core().dom_exception.get()));
    rooted!(&in(cx) let mut arguments: Vec<JSVal> = vec![UndefinedValue(); 2]);
    for (index, text) in [message, name].into_iter().enumerate() {
        match convert::string_to_js(cx, text) {
            Ok(value) => arguments.set_index(index, value),
            Err(thrown) => return thrown,
        }
    }
    rooted!(&in(cx) let mut made = ptr::null_mut::<JSObject>());
    let arguments = HandleValueArray::from(&arguments);
    // SAFETY: `constructor` was checked to be a constructor when it was captured, and the
    // arguments stay rooted for the length of the call.
    let built = unsafe { Construct1(cx, constructor.handle(), &arguments, made.handle_mut()) };
    if built {
        rooted!(&in(cx) let value = ObjectValue(made.get()));
        throw_value(cx, value.handle());
    }
    Thrown
}

/// Throws an `Error` whose `name` is `name`.
pub(crate) fn throw_named(cx: &mut JSContext, name: &str, message: &str) -> Thrown {
    throw(cx, "Error", message);
    rooted!(&in(cx) let mut value = UndefinedValue());
    if !take_pending(cx, &mut value) {
        return Thrown;
    }
    if value.is_object() {
        rooted!(&in(cx) let object = value.to_object());
        if let Ok(text) = convert::string_to_js(cx, name) {
            rooted!(&in(cx) let text = text);
            // SAFETY: all handles are rooted and the name is NUL-terminated.
            unsafe { JS_SetProperty(cx, object.handle(), c"name".as_ptr(), text.handle()) };
        }
    }
    throw_value(cx, value.handle());
    Thrown
}

/// Makes `value` the pending exception.
pub(crate) fn throw_value(cx: &mut JSContext, value: HandleValue) -> Thrown {
    // SAFETY: `value` is rooted by its handle.
    unsafe { JS_SetPendingException(cx, value, ExceptionStackBehavior::Capture) };
    Thrown
}

/// Takes the pending exception. False: there is none, JavaScript was terminated.
pub(crate) fn take_pending(
    cx: &mut JSContext,
    value: &mut mozjs::gc::RootedGuard<'_, JSVal>,
) -> bool {
    // SAFETY: `value` is a root on the stack of this context.
    unsafe {
        if !JS_IsExceptionPending(cx) {
            return false;
        }
        let taken = JS_GetPendingException(cx, value.handle_mut());
        JS_ClearPendingException(cx);
        taken
    }
}

/// Takes the pending exception and reads it.
pub(crate) fn take_error(cx: &mut JSContext) -> JsError {
    rooted!(&in(cx) let mut value = UndefinedValue());
    if !take_pending(cx, &mut value) {
        return JsError {
            name: "Terminated".to_owned(),
            message: "JavaScript was stopped".to_owned(),
            stack: String::new(),
        };
    }
    describe(cx, value.handle())
}

/// Reads any value as an error.
pub(crate) fn describe(cx: &mut JSContext, value: HandleValue) -> JsError {
    if !value.get().is_object() {
        return JsError {
            message: text_of(cx, value),
            ..JsError::default()
        };
    }
    rooted!(&in(cx) let object = value.get().to_object());
    let name = property_text(cx, object.handle(), c"name");
    let message = property_text(cx, object.handle(), c"message");
    let mut stack = property_text(cx, object.handle(), c"stack").unwrap_or_default();
    if name.is_none() && message.is_none() {
        return JsError {
            message: text_of(cx, value),
            stack,
            ..JsError::default()
        };
    }
    let name = name.unwrap_or_default();
    if name == "SyntaxError"
        && let Some(place) = place_of(cx, object.handle())
        && !stack.contains(&place)
    {
        stack = format!("    at {place}\n{stack}").trim_end().to_owned();
    }
    JsError {
        name,
        message: message.unwrap_or_default(),
        stack,
    }
}

/// `module:line:column` of an error that the parser made.
fn place_of(cx: &mut JSContext, object: HandleObject) -> Option<String> {
    let file = property_text(cx, object, c"fileName")?;
    let line = property_number(cx, object, c"lineNumber")?;
    let column = property_number(cx, object, c"columnNumber")?;
    Some(format!("{file}:{line}:{column}"))
}

fn property(
    cx: &mut JSContext,
    object: HandleObject,
    name: &CStr,
    value: &mut mozjs::gc::RootedGuard<'_, JSVal>,
) -> bool {
    // SAFETY: the handles are rooted and `name` is NUL-terminated. A getter may throw: cleared.
    unsafe {
        let got = JS_GetProperty(cx, object, name.as_ptr(), value.handle_mut());
        if !got {
            JS_ClearPendingException(cx);
        }
        got
    }
}

fn property_text(cx: &mut JSContext, object: HandleObject, name: &CStr) -> Option<String> {
    rooted!(&in(cx) let mut value = UndefinedValue());
    if !property(cx, object, name, &mut value) || !value.is_string() {
        return None;
    }
    Some(convert::string_from_js(cx, value.to_string()))
}

fn property_number(cx: &mut JSContext, object: HandleObject, name: &CStr) -> Option<f64> {
    rooted!(&in(cx) let mut value = UndefinedValue());
    (property(cx, object, name, &mut value) && value.is_number()).then(|| value.to_number())
}

fn text_of(cx: &mut JSContext, value: HandleValue) -> String {
    // SAFETY: the handle is rooted; a `toString` that throws is cleared.
    unsafe {
        let text = ToString(cx, value);
        if text.is_null() {
            JS_ClearPendingException(cx);
            return "a value that cannot be printed".to_owned();
        }
        convert::string_from_js(cx, text)
    }
}
