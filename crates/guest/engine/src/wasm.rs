//! WebAssembly modules of the Worker's table.
//!
//! They are compiled where they are imported, synchronously: the helper threads share the work, and
//! nothing else could run meanwhile. Compiling bytes at run time is the engine's own API and not here.

use std::ptr;

use mozjs::context::JSContext;
use mozjs::jsapi::{CompileWasmModuleAsSource, HandleValueArray, IsConstructor, JSObject};
use mozjs::jsval::{JSVal, ObjectValue, UndefinedValue};
use mozjs::rooted;
use mozjs::rust::HandleObject;
use mozjs::rust::wrappers2::{Construct1, JS_GetProperty};

use crate::convert;
use crate::core::core;
use crate::modules::options_for;
use crate::throw::{Thrown, throw};

const NOT_AVAILABLE: &str = "WebAssembly is not available: this Worker runs without executable \
                             memory (jitless), so nothing can be compiled.";

/// `mozilla::Vector<uint8_t, 0, MallocAllocPolicy>` as a release build lays it out; the bindings
/// leave it opaque. The engine only reads its start and length.
#[repr(C)]
struct Bytes {
    start: *mut u8,
    length: usize,
    capacity: usize,
}

/// A module record whose source is the compiled module, for `import source`. Not rooted.
pub(crate) fn source_record(
    cx: &mut JSContext,
    name: &str,
    mut content: Vec<u8>,
) -> Result<*mut JSObject, Thrown> {
    if core().no_machine_code.get() {
        return Err(throw(cx, "Error", NOT_AVAILABLE));
    }
    let options = options_for(cx, name);
    let mut bytes = Bytes {
        start: content.as_mut_ptr(),
        length: content.len(),
        capacity: content.len(),
    };
    // SAFETY: `bytes` has the layout of the vector that the function takes by reference and reads,
    // and `content` outlives the call.
    let record = unsafe {
        CompileWasmModuleAsSource(cx.raw_cx(), options.ptr, ptr::from_mut(&mut bytes).cast())
    };
    if record.is_null() {
        return Err(Thrown);
    }
    Ok(record)
}

/// Remembers `WebAssembly.Module` before a script can replace it.
pub(crate) fn capture(cx: &mut JSContext) {
    rooted!(&in(cx) let global = core().global.get());
    rooted!(&in(cx) let mut value = UndefinedValue());
    // SAFETY: the handles are rooted. The class checks only read a live object.
    unsafe {
        if JS_GetProperty(
            cx,
            global.handle(),
            c"WebAssembly".as_ptr(),
            value.handle_mut(),
        ) && value.is_object()
        {
            rooted!(&in(cx) let namespace = value.to_object());
            if JS_GetProperty(
                cx,
                namespace.handle(),
                c"Module".as_ptr(),
                value.handle_mut(),
            ) && value.is_object()
                && IsConstructor(value.to_object())
            {
                core().wasm_module.set(value.to_object());
            }
        }
    }
}

/// `new WebAssembly.Module(content)`. Not rooted.
pub(crate) fn compile(cx: &mut JSContext, content: Vec<u8>) -> Result<JSVal, Thrown> {
    if core().wasm_module.get().is_null() {
        return Err(throw(cx, "Error", NOT_AVAILABLE));
    }
    let bytes = convert::bytes_to_js(cx, content)?;
    rooted!(&in(cx) let arguments: Vec<JSVal> = vec![bytes]);
    rooted!(&in(cx) let constructor = ObjectValue(core().wasm_module.get()));
    rooted!(&in(cx) let mut module = ptr::null_mut::<JSObject>());
    let arguments = HandleValueArray::from(&arguments);
    // SAFETY: `constructor` was checked to be one when it was captured; all is rooted.
    let made = unsafe { Construct1(cx, constructor.handle(), &arguments, module.handle_mut()) };
    let _: HandleObject = module.handle();
    if made {
        Ok(ObjectValue(module.get()))
    } else {
        Err(Thrown)
    }
}
