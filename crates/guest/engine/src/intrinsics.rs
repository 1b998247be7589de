//! The members of `__mayfly.engine`: what the platform asks of the engine's own objects.
//!
//! The signatures are those of `Engine` in `platform/ops.ts`. Each is a native over values; none of
//! them reaches the embedder's state.

use std::ffi::CStr;
use std::ptr;

use mozjs::JSCLASS_IS_PROXY;
use mozjs::context::JSContext;
use mozjs::glue::{GetProxyPrivate, GetProxyReservedSlot};
use mozjs::jsapi::JS::PromiseState;
use mozjs::jsapi::{
    CallArgs, GCOptions, HandleValueArray, IsCallable, JS_IsArrayBufferViewObject, JSObject,
};
use mozjs::jsval::{Int32Value, JSVal, NullValue, ObjectValue, UndefinedValue};
use mozjs::rooted;
use mozjs::rust::wrappers2::{
    GetPromiseState, IsPromiseObject, JS_CallFunctionValue, JS_GetPromiseResult, NewArrayObject,
    NewPromiseObject, RejectPromise, ResolvePromise, SetAnyPromiseIsHandled,
};
use mozjs::rust::{HandleObject, get_object_class};

use crate::clone;
use crate::convert;
use crate::core::core;
use crate::modules::{self, ModuleKind, Origin};
use crate::natives::{argument, define_native, native};
use crate::resolve::Resolved;
use crate::throw::{Thrown, throw, throw_type_error};
use crate::turn;

/// Where a scripted proxy keeps its handler, as `vm`'s `ScriptedProxyHandler` says.
const PROXY_HANDLER_SLOT: u32 = 0;

/// Parameters `compileFunction` takes at most.
const PARAMETERS_MAX: usize = 64;

/// Puts all members on `engine`.
pub(crate) fn define(cx: &mut JSContext, engine: HandleObject) -> Result<(), Thrown> {
    define_native(cx, engine, c"setHandlers", set_handlers)?;
    define_native(cx, engine, c"setArrivals", set_arrivals)?;
    define_native(cx, engine, c"arrivedText", arrived_text)?;
    define_native(cx, engine, c"importModule", import_module)?;
    define_native(cx, engine, c"requireModule", require_module)?;
    define_native(cx, engine, c"platformModule", platform_module)?;
    define_native(cx, engine, c"resolveModule", resolve_module)?;
    define_native(cx, engine, c"moduleText", module_text)?;
    define_native(cx, engine, c"moduleBytes", module_bytes)?;
    define_native(cx, engine, c"compileFunction", compile_function)?;
    define_native(cx, engine, c"structuredClone", structured_clone)?;
    define_native(cx, engine, c"promiseState", promise_state)?;
    define_native(cx, engine, c"newPromise", new_promise)?;
    define_native(cx, engine, c"resolvePromise", resolve_promise)?;
    define_native(cx, engine, c"rejectPromise", reject_promise)?;
    define_native(cx, engine, c"proxyDetails", proxy_details)?;
    define_native(cx, engine, c"proxyHandler", proxy_handler)?;
    define_native(cx, engine, c"contextGet", context_get)?;
    define_native(cx, engine, c"contextSet", context_set)?;
    define_native(cx, engine, c"markHandled", mark_handled)?;
    define_native(cx, engine, c"enqueueMicrotask", enqueue_microtask)?;
    define_native(cx, engine, c"collect", collect)
}

fn string(cx: &mut JSContext, arguments: &CallArgs, index: u32) -> Result<String, Thrown> {
    let value = argument(arguments, index);
    if !value.is_string() {
        return Err(throw_type_error(cx, "a string is needed"));
    }
    Ok(convert::string_from_js(cx, value.to_string()))
}

fn object(cx: &mut JSContext, arguments: &CallArgs, index: u32) -> Result<*mut JSObject, Thrown> {
    let value = argument(arguments, index);
    if value.is_object() {
        Ok(value.to_object())
    } else {
        Err(throw_type_error(cx, "an object is needed"))
    }
}

fn promise(cx: &mut JSContext, arguments: &CallArgs) -> Result<*mut JSObject, Thrown> {
    rooted!(&in(cx) let candidate = object(cx, arguments, 0)?);
    // SAFETY: the candidate is rooted and not null.
    if unsafe { IsPromiseObject(candidate.handle()) } {
        Ok(candidate.get())
    } else {
        Err(throw_type_error(cx, "a Promise is needed"))
    }
}

/// A string list, such as parameter names.
fn strings(cx: &mut JSContext, arguments: &CallArgs, index: u32) -> Result<Vec<String>, Thrown> {
    rooted!(&in(cx) let value = argument(arguments, index));
    let crate::Data::List(items) = convert::from_js(cx, value.handle())? else {
        return Err(throw_type_error(cx, "an array of strings is needed"));
    };
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        let crate::Data::String(text) = item else {
            return Err(throw_type_error(cx, "an array of strings is needed"));
        };
        found.push(text);
    }
    Ok(found)
}

native!(set_handlers, |cx, arguments| {
    let handlers = object(cx, arguments, 0)?;
    core().handlers.set(handlers);
    core().handler_functions.borrow_mut().clear();
    Ok(UndefinedValue())
});

native!(set_arrivals, |cx, arguments| {
    let page = object(cx, arguments, 0)?;
    // SAFETY: the object is live, being an argument of this call.
    if !unsafe { JS_IsArrayBufferViewObject(page) } {
        return Err(throw_type_error(cx, "a view of a buffer is needed"));
    }
    core().arrivals.set(page);
    Ok(UndefinedValue())
});

native!(arrived_text, |cx, arguments| {
    let (start, end) = (argument(arguments, 0), argument(arguments, 1));
    if !start.is_int32() || !end.is_int32() {
        return Err(throw_type_error(cx, "two places on the page are needed"));
    }
    convert::arrived_text(cx, start.to_int32(), end.to_int32())
});

native!(import_module, |cx, arguments| {
    string(cx, arguments, 0)?;
    rooted!(&in(cx) let importer = ObjectValue(core().importer.get()));
    rooted!(&in(cx) let values: Vec<JSVal> = vec![argument(arguments, 0)]);
    rooted!(&in(cx) let mut result = UndefinedValue());
    let values = HandleValueArray::from(&values);
    // SAFETY: everything passed is rooted for the length of the call.
    let called = unsafe {
        JS_CallFunctionValue(
            cx,
            HandleObject::null(),
            importer.handle(),
            &values,
            result.handle_mut(),
        )
    };
    if called {
        Ok(result.get())
    } else {
        Err(Thrown)
    }
});

native!(require_module, |cx, arguments| {
    let name = string(cx, arguments, 0)?;
    rooted!(&in(cx) let mut namespace = UndefinedValue());
    modules::require(cx, &name, namespace.handle_mut())?;
    Ok(namespace.get())
});

native!(platform_module, |cx, arguments| {
    let name = string(cx, arguments, 0)?;
    rooted!(&in(cx) let mut namespace = UndefinedValue());
    modules::platform_module(cx, &name, namespace.handle_mut())?;
    Ok(namespace.get())
});

native!(resolve_module, |cx, arguments| {
    let specifier = string(cx, arguments, 0)?;
    let referrer = string(cx, arguments, 1)?;
    match core().modules.resolve(&specifier, Some(&referrer)) {
        Resolved::Module(name) | Resolved::Builtin(name) => convert::string_to_js(cx, &name),
        Resolved::Missing => Err(modules::missing(cx, &specifier, Some(&referrer))),
    }
});

native!(module_text, |cx, arguments| {
    let name = string(cx, arguments, 0)?;
    match core().modules.text(&name) {
        Some(text) => convert::string_to_js(cx, &text),
        None => Err(modules::missing(cx, &name, None)),
    }
});

native!(module_bytes, |cx, arguments| {
    let name = string(cx, arguments, 0)?;
    match core().modules.content(&name) {
        Some(bytes) => convert::buffer_to_js(cx, bytes),
        None => Err(modules::missing(cx, &name, None)),
    }
});

native!(compile_function, |cx, arguments| {
    let name = string(cx, arguments, 0)?;
    let source = string(cx, arguments, 1)?;
    let parameters = strings(cx, arguments, 2)?;
    if parameters.len() > PARAMETERS_MAX {
        return Err(throw(cx, "RangeError", "too many parameters"));
    }
    let parameters: Vec<&str> = parameters.iter().map(String::as_str).collect();
    let origin = match core().modules.kind(&name) {
        Some(ModuleKind::CommonJs) => Origin::CommonJs,
        _ => Origin::Module,
    };
    let function = modules::compile_function(cx, &name, &source, &parameters, origin)?;
    Ok(ObjectValue(function))
});

native!(structured_clone, |cx, arguments| {
    rooted!(&in(cx) let value = argument(arguments, 0));
    rooted!(&in(cx) let transfer = argument(arguments, 1));
    rooted!(&in(cx) let mut copy = UndefinedValue());
    clone::clone(cx, value.handle(), transfer.handle(), copy.handle_mut())?;
    Ok(copy.get())
});

native!(promise_state, |cx, arguments| {
    rooted!(&in(cx) let promise = promise(cx, arguments)?);
    rooted!(&in(cx) let mut pair: Vec<JSVal> = vec![UndefinedValue(); 2]);
    // SAFETY: the promise is rooted; a result exists once it is settled.
    let state = unsafe { GetPromiseState(promise.handle()) };
    if state != PromiseState::Pending {
        // SAFETY: as above.
        unsafe { JS_GetPromiseResult(promise.handle(), pair.handle_mut_at(1)) };
    }
    pair.set_index(0, Int32Value(state as i32));
    array(cx, &pair)
});

native!(new_promise, |cx, _arguments| {
    // SAFETY: without an executor there is nothing to root.
    let promise = unsafe { NewPromiseObject(cx, HandleObject::null()) };
    if promise.is_null() {
        return Err(Thrown);
    }
    Ok(ObjectValue(promise))
});

native!(resolve_promise, |cx, arguments| {
    rooted!(&in(cx) let promise = promise(cx, arguments)?);
    rooted!(&in(cx) let value = argument(arguments, 1));
    // SAFETY: both are rooted.
    if unsafe { ResolvePromise(cx, promise.handle(), value.handle()) } {
        Ok(UndefinedValue())
    } else {
        Err(Thrown)
    }
});

native!(reject_promise, |cx, arguments| {
    rooted!(&in(cx) let promise = promise(cx, arguments)?);
    rooted!(&in(cx) let reason = argument(arguments, 1));
    // SAFETY: both are rooted.
    if unsafe { RejectPromise(cx, promise.handle(), reason.handle()) } {
        Ok(UndefinedValue())
    } else {
        Err(Thrown)
    }
});

fn array(
    cx: &mut JSContext,
    items: &mozjs::gc::RootedGuard<'_, Vec<JSVal>>,
) -> Result<JSVal, Thrown> {
    let contents = HandleValueArray::from(items);
    // SAFETY: the items are rooted and not touched during the call.
    let array = unsafe { NewArrayObject(cx, &contents) };
    if array.is_null() {
        Err(Thrown)
    } else {
        Ok(ObjectValue(array))
    }
}

native!(proxy_details, |cx, arguments| {
    let value = argument(arguments, 0);
    if !value.is_object() {
        return Ok(UndefinedValue());
    }
    rooted!(&in(cx) let candidate = value.to_object());
    rooted!(&in(cx) let mut pair: Vec<JSVal> = vec![NullValue(); 2]);
    // SAFETY: the candidate is rooted; its class tells that it has a scripted proxy's slots. (Module
    // namespaces are proxies too, of a class of their own; wrappers need a second compartment.)
    unsafe {
        let class = &*get_object_class(candidate.get());
        if class.flags & JSCLASS_IS_PROXY == 0 || CStr::from_ptr(class.name) != c"Proxy" {
            return Ok(UndefinedValue());
        }
        GetProxyPrivate(candidate.get(), pair.handle_mut_at(0).as_mut());
        GetProxyReservedSlot(
            candidate.get(),
            PROXY_HANDLER_SLOT,
            pair.handle_mut_at(1).as_mut(),
        );
    }
    array(cx, &pair)
});

native!(proxy_handler, |_cx, arguments| {
    let value = argument(arguments, 0);
    if !value.is_object() {
        return Ok(UndefinedValue());
    }
    let mut handler = UndefinedValue();
    // SAFETY: the object is live, being an argument of this call, and nothing here can collect. Its
    // class tells that it has a scripted proxy's slots, as for `proxyDetails`.
    unsafe {
        let class = &*get_object_class(value.to_object());
        if class.flags & JSCLASS_IS_PROXY == 0 || CStr::from_ptr(class.name) != c"Proxy" {
            return Ok(UndefinedValue());
        }
        GetProxyReservedSlot(value.to_object(), PROXY_HANDLER_SLOT, &mut handler);
    }
    // A revoked proxy has none.
    Ok(if handler.is_object() {
        handler
    } else {
        UndefinedValue()
    })
});

native!(context_get, |_cx, _arguments| {
    let frame = core().frame.get();
    Ok(if frame.is_null() {
        UndefinedValue()
    } else {
        ObjectValue(frame)
    })
});

native!(context_set, |cx, arguments| {
    let value = argument(arguments, 0);
    if value.is_object() {
        core().set_frame(value.to_object());
    } else if value.is_null_or_undefined() {
        core().set_frame(ptr::null_mut());
    } else {
        return Err(throw_type_error(
            cx,
            "an async context frame is an object or undefined",
        ));
    }
    Ok(UndefinedValue())
});

native!(mark_handled, |cx, arguments| {
    rooted!(&in(cx) let promise = promise(cx, arguments)?);
    let wanted = promise.get();
    core()
        .rejections
        .borrow_mut()
        .retain(|rejection| rejection.promise.get() != wanted);
    // SAFETY: the promise is rooted.
    if unsafe { SetAnyPromiseIsHandled(cx, promise.handle()) } {
        Ok(UndefinedValue())
    } else {
        Err(Thrown)
    }
});

native!(enqueue_microtask, |cx, arguments| {
    rooted!(&in(cx) let task = argument(arguments, 0));
    // SAFETY: the object is rooted.
    if !task.is_object() || !unsafe { IsCallable(task.to_object()) } {
        return Err(throw_type_error(cx, "a function is needed"));
    }
    turn::enqueue(cx, task.handle())?;
    Ok(UndefinedValue())
});

native!(collect, |cx, _arguments| {
    turn::collect(cx, GCOptions::Normal);
    Ok(UndefinedValue())
});
