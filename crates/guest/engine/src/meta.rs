//! `import.meta`.
//!
//! A Worker's module sees its URL, its path, whether it is the main one, and `resolve`. The shims of
//! `shim` see one function, `exports`, by which they get what they export. Nothing else gets anything.

use mozjs::context::{JSContext, RawJSContext};
use mozjs::jsapi::{Handle as RawHandle, JSObject};
use mozjs::jsval::{BooleanValue, JSVal, ObjectValue, UndefinedValue};
use mozjs::rooted;
use mozjs::rust::HandleObject;
use mozjs::rust::wrappers2::JS_GetModulePrivate;

use crate::convert;
use crate::core::core;
use crate::modules::{self, Origin};
use crate::natives::{self, native};
use crate::resolve::{self, BUNDLE_URL, Resolved};
use crate::throw::{Thrown, throw_type_error};

pub(crate) unsafe extern "C" fn hook(
    cx: *mut RawJSContext,
    module: RawHandle<*mut JSObject>,
    meta: RawHandle<*mut JSObject>,
) -> bool {
    // SAFETY: the engine calls the hook with its live context and rooted handles.
    unsafe {
        let mut cx =
            JSContext::from_ptr(std::ptr::NonNull::new(cx).expect("the engine passes its context"));
        let cx = &mut cx;
        let module = HandleObject::from_raw(module);
        let meta = HandleObject::from_raw(meta);
        rooted!(&in(cx) let mut number = UndefinedValue());
        JS_GetModulePrivate(module.get(), number.handle_mut());
        !number.is_int32() || fill(cx, meta, number.to_int32()).is_ok()
    }
}

fn fill(cx: &mut JSContext, meta: HandleObject, number: i32) -> Result<(), Thrown> {
    let (origin, name) = core().modules.origin_and_name(number);
    match origin {
        Origin::Importer => Ok(()),
        Origin::Platform => text(cx, meta, "url", &format!("mayfly:{name}")),
        Origin::Builtin | Origin::CommonJs => function(cx, meta, "exports", shim_exports, number),
        Origin::Module => {
            let url = url_of(&name);
            let path = &url[BUNDLE_URL.len() - 1..];
            let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
            text(cx, meta, "url", &url)?;
            text(cx, meta, "filename", path)?;
            text(
                cx,
                meta,
                "dirname",
                if folder.is_empty() { "/" } else { folder },
            )?;
            rooted!(&in(cx) let main = BooleanValue(core().modules.is_main(&name)));
            convert::define(cx, meta, "main", main.handle())?;
            function(cx, meta, "resolve", resolve_url, number)
        }
    }
}

fn url_of(name: &str) -> String {
    format!("{BUNDLE_URL}{}", name.trim_start_matches(['.', '/']))
}

fn text(cx: &mut JSContext, meta: HandleObject, key: &str, value: &str) -> Result<(), Thrown> {
    let value = convert::string_to_js(cx, value)?;
    rooted!(&in(cx) let value = value);
    convert::define(cx, meta, key, value.handle())
}

fn function(
    cx: &mut JSContext,
    meta: HandleObject,
    key: &str,
    call: unsafe extern "C" fn(*mut RawJSContext, u32, *mut JSVal) -> bool,
    number: i32,
) -> Result<(), Thrown> {
    let function = natives::make_numbered(cx, c"", call, number)?;
    rooted!(&in(cx) let function = ObjectValue(function));
    convert::define(cx, meta, key, function.handle())
}

native!(shim_exports, |cx, arguments| {
    let number = natives::number_of(arguments);
    let (origin, name) = core().modules.origin_and_name(number);
    if origin == Origin::Builtin {
        return Ok(ObjectValue(core().modules.exports_of(number)));
    }
    let name = convert::string_to_js(cx, &name)?;
    rooted!(&in(cx) let arguments: Vec<JSVal> = vec![name]);
    rooted!(&in(cx) let mut exports = UndefinedValue());
    crate::turn::call_handler(cx, "commonJs", &arguments, exports.handle_mut())?;
    Ok(exports.get())
});

native!(resolve_url, |cx, arguments| {
    let (_, name) = core()
        .modules
        .origin_and_name(natives::number_of(arguments));
    let specifier = natives::argument(arguments, 0);
    if !specifier.is_string() {
        return Err(throw_type_error(
            cx,
            "import.meta.resolve needs a specifier",
        ));
    }
    let specifier = convert::string_from_js(cx, specifier.to_string());
    let url = match core().modules.resolve(&specifier, Some(&name)) {
        Resolved::Module(name) => url_of(&name),
        Resolved::Builtin(builtin) => {
            if modules::builtin_record(cx, &builtin)?.is_none() {
                return Err(modules::missing(cx, &specifier, Some(&name)));
            }
            builtin
        }
        // A URL need not lead to a module yet.
        Resolved::Missing if specifier.starts_with(['.', '/']) => {
            let folder = if specifier.starts_with('/') {
                ""
            } else {
                resolve::folder_of(&name)
            };
            url_of(&resolve::join(folder, &specifier))
        }
        Resolved::Missing if specifier.contains(':') => specifier,
        Resolved::Missing => return Err(modules::missing(cx, &specifier, Some(&name))),
    };
    convert::string_to_js(cx, &url)
});
