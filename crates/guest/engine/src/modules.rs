//! The module tables and the engine's questions about them.
//!
//! Two tables stand side by side: the platform's sources, which are evaluated from one entry at first
//! and later only where the platform asks for one, and the Worker's modules. Which one a specifier means follows from who asks: every module carries the
//! number of an [`Info`] as its private value. A module is compiled when it is first asked for and
//! made once per name.
//!
//! Loading never waits: all sources are in memory, so every load is finished inside the hook.
//!
//! Invariant: a record under a key is the only instance of that module in the process.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::CString;
use std::ptr::{self, NonNull};

use mozjs::context::{JSContext, RawJSContext};
use mozjs::jsapi::JS::PromiseState;
use mozjs::jsapi::{
    ColumnNumberOneOrigin, Handle as RawHandle, JS_GetObjectFunction, JSObject, JSScript,
    ModuleRequestIsSourcePhase, SetModuleLoadHook, SetModuleMetadataHook, SetModulePrivate,
    SetScriptPrivate,
};
use mozjs::jsval::{Int32Value, JSVal, ObjectValue, UndefinedValue};
use mozjs::rooted;
use mozjs::rust::wrappers2::{
    CompileJsonModule1, CompileModule1, CreateDefaultExportSyntheticModule, Evaluate2,
    FinishLoadingImportedModule, GetModuleNamespace, GetModuleRequestSpecifier, GetPromiseState,
    IsPromiseObject, JS_GetFunctionScript, JS_GetPromiseResult, JS_GetScriptPrivate,
    LoadRequestedModules, ModuleEvaluate, ModuleLink, SetAnyPromiseIsHandled,
};
use mozjs::rust::{
    CompileOptionsWrapper, HandleObject, HandleValue, MutableHandleValue,
    transform_str_to_source_text,
};

use crate::core::{ObjectRoot, core};
use crate::resolve::{self, Resolved};
use crate::shim::{self, DefaultExport};
use crate::throw::{self, Thrown};
use crate::{commonjs, convert, stencil, wasm};

/// How deep `module.exports = require(...)` is followed for names.
const COMMONJS_AGAIN_DEPTH_MAX: usize = 8;

/// What a module's content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleKind {
    /// An ES module.
    Js,
    /// A CommonJS module.
    CommonJs,
    /// Its text is the default export.
    Text,
    /// Its bytes are the default export, as an ArrayBuffer.
    Data,
    /// Its value is the default export.
    Json,
    /// A `WebAssembly.Module` is the default export and the module's source.
    Wasm,
}

/// A module of the Worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleEntry {
    /// A path without a leading slash, as a rule.
    pub name: String,
    /// How to read `content`.
    pub kind: ModuleKind,
    /// UTF-8 for all kinds but data and wasm; what is not is replaced by U+FFFD.
    pub content: Vec<u8>,
    /// For an ES module: what [`crate::Engine::encode_module`] made of this name and content.
    pub compiled: Option<Vec<u8>>,
}

/// Who a module is, found by the number in its private value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `engine.importModule` itself: it says exact names.
    Importer,
    Platform,
    /// The Worker's own ES module.
    Module,
    CommonJs,
    Builtin,
}

pub(crate) struct Info {
    pub(crate) origin: Origin,
    pub(crate) name: String,
    /// For a built-in's shim: what it takes its exports from.
    exports: ObjectRoot,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    Platform(String),
    Module(String),
    Builtin(String),
    /// A Wasm module imported as source: the engine allows no other use of such a record.
    WasmSource(String),
}

#[derive(Default)]
pub(crate) struct Modules {
    platform: RefCell<HashMap<&'static str, &'static str>>,
    table: RefCell<HashMap<String, ModuleEntry>>,
    records: RefCell<HashMap<Key, ObjectRoot>>,
    infos: RefCell<Vec<Info>>,
    /// The first module that `importModule` was asked for.
    main: RefCell<Option<String>>,
    importing: Cell<bool>,
}

impl Modules {
    pub(crate) fn each_root(&self, mut visit: impl FnMut(&ObjectRoot)) {
        self.records.borrow().values().for_each(&mut visit);
        self.infos
            .borrow()
            .iter()
            .for_each(|info| visit(&info.exports));
    }

    /// Replaces the Worker's modules. What an earlier table's modules became is forgotten; built-in
    /// modules are the platform's and stay.
    pub(crate) fn set_table(&self, modules: Vec<ModuleEntry>) {
        self.records
            .borrow_mut()
            .retain(|key, _| !matches!(key, Key::Module(_) | Key::WasmSource(_)));
        *self.main.borrow_mut() = None;
        *self.table.borrow_mut() = modules
            .into_iter()
            .map(|entry| (entry.name.clone(), entry))
            .collect();
    }

    pub(crate) fn set_platform(&self, modules: &[(&'static str, &'static str)]) {
        *self.platform.borrow_mut() = modules.iter().copied().collect();
    }

    pub(crate) fn is_main(&self, name: &str) -> bool {
        self.main.borrow().as_deref() == Some(name)
    }

    pub(crate) fn origin_and_name(&self, number: i32) -> (Origin, String) {
        let infos = self.infos.borrow();
        let info = &infos[number as usize];
        (info.origin.clone(), info.name.clone())
    }

    pub(crate) fn exports_of(&self, number: i32) -> *mut JSObject {
        self.infos.borrow()[number as usize].exports.get()
    }

    fn add_info(&self, origin: Origin, name: &str, exports: *mut JSObject) -> i32 {
        let mut infos = self.infos.borrow_mut();
        infos.push(Info {
            origin,
            name: name.to_owned(),
            exports: ObjectRoot::new(exports),
        });
        i32::try_from(infos.len() - 1).expect("memory ends before two thousand million modules")
    }

    fn record(&self, key: &Key) -> Option<*mut JSObject> {
        self.records.borrow().get(key).map(ObjectRoot::get)
    }

    fn keep(&self, key: Key, record: *mut JSObject) {
        self.records
            .borrow_mut()
            .insert(key, ObjectRoot::new(record));
    }

    pub(crate) fn kind(&self, name: &str) -> Option<ModuleKind> {
        self.table.borrow().get(name).map(|entry| entry.kind)
    }

    /// A copy of a module's content.
    pub(crate) fn content(&self, name: &str) -> Option<Vec<u8>> {
        self.table
            .borrow()
            .get(name)
            .map(|entry| entry.content.clone())
    }

    /// What was compiled elsewhere of a module, once.
    fn take_compiled(&self, name: &str) -> Option<Vec<u8>> {
        self.table.borrow_mut().get_mut(name)?.compiled.take()
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let table = self.table.borrow();
        let entry = table.get(name)?;
        Some(String::from_utf8_lossy(&entry.content).into_owned())
    }

    fn has(&self, name: &str) -> bool {
        self.table.borrow().contains_key(name)
    }

    pub(crate) fn resolve(&self, specifier: &str, referrer: Option<&str>) -> Resolved {
        resolve::resolve(specifier, referrer, |name| self.has(name))
    }

    pub(crate) fn missing_message(&self, specifier: &str, referrer: Option<&str>) -> String {
        let table = self.table.borrow();
        resolve::missing_message(specifier, referrer, table.keys().map(String::as_str))
    }
}

/// Sets the hooks. Once, before any module.
pub(crate) fn install(cx: &mut JSContext) -> Result<(), Thrown> {
    // SAFETY: the hooks are static functions with the signatures the engine asks for.
    unsafe {
        let runtime = mozjs::jsapi::JS_GetRuntime(cx.raw_cx());
        SetModuleLoadHook(runtime, Some(load_hook));
        SetModuleMetadataHook(runtime, Some(crate::meta::hook));
    }
    let importer = compile_function(
        cx,
        "mayfly:importModule",
        "return import(name)",
        &["name"],
        Origin::Importer,
    )?;
    core().importer.set(importer);
    Ok(())
}

/// Compiles a function body. `import()` in it asks as `origin` and `name`. Not rooted.
pub(crate) fn compile_function(
    cx: &mut JSContext,
    name: &str,
    source: &str,
    parameters: &[&str],
    origin: Origin,
) -> Result<*mut JSObject, Thrown> {
    let number = core().modules.add_info(origin, name, ptr::null_mut());
    let options = options_for(cx, name);
    // Not `JS::CompileFunction`: that counts a line for the parameters, and stacks would be off by it.
    let text = format!("(function ({}) {{{source}\n}})", parameters.join(","));
    let mut units = transform_str_to_source_text(&text);
    rooted!(&in(cx) let mut value = UndefinedValue());
    // SAFETY: the options and the source outlive the call, which copies what it keeps. The value's
    // class is asked before it is used as a function, and a function's script shares the private
    // value with all functions inside it.
    unsafe {
        if !Evaluate2(cx, options.ptr, &mut units, value.handle_mut()) {
            return Err(Thrown);
        }
        let function = if value.is_object() {
            JS_GetObjectFunction(value.to_object())
        } else {
            ptr::null_mut()
        };
        let Some(function) = NonNull::new(function) else {
            return Err(throw::throw(
                cx,
                "SyntaxError",
                "the source is no function body",
            ));
        };
        rooted!(&in(cx) let function = function.as_ptr());
        let script = JS_GetFunctionScript(cx, function.handle());
        if script.is_null() {
            return Err(Thrown);
        }
        SetScriptPrivate(script, &Int32Value(number));
        Ok(function.get().cast())
    }
}

unsafe extern "C" fn load_hook(
    cx: *mut RawJSContext,
    referrer: RawHandle<*mut JSScript>,
    request: RawHandle<*mut JSObject>,
    _host_defined: RawHandle<JSVal>,
    payload: RawHandle<JSVal>,
    _line: u32,
    _column: ColumnNumberOneOrigin,
) -> bool {
    // SAFETY: the engine calls the hook with its live context and with rooted handles.
    unsafe {
        let mut cx = JSContext::from_ptr(NonNull::new(cx).expect("the engine passes its context"));
        let cx = &mut cx;
        let referrer = mozjs::rust::Handle::from_raw(referrer);
        let request = HandleObject::from_raw(request);
        let payload = HandleValue::from_raw(payload);
        let importer = importer_of(cx, referrer);
        let Ok(record) = requested(cx, importer, request) else {
            return false;
        };
        rooted!(&in(cx) let record = record);
        rooted!(&in(cx) let waiting = payload.get().to_object());
        // For `import()` the engine leaves the rest of the graph to us.
        if IsPromiseObject(waiting.handle()) && load_graph(cx, record.handle()).is_err() {
            return false;
        }
        FinishLoadingImportedModule(cx, referrer, request, payload, record.handle(), true)
    }
}

fn importer_of(
    cx: &mut JSContext,
    script: mozjs::rust::Handle<*mut JSScript>,
) -> Option<(Origin, String)> {
    if script.get().is_null() {
        return None;
    }
    rooted!(&in(cx) let mut number = UndefinedValue());
    // SAFETY: the script is rooted by its handle and not null.
    unsafe { JS_GetScriptPrivate(script.get(), number.handle_mut()) };
    number
        .is_int32()
        .then(|| core().modules.origin_and_name(number.to_int32()))
}

fn requested(
    cx: &mut JSContext,
    importer: Option<(Origin, String)>,
    request: HandleObject,
) -> Result<*mut JSObject, Thrown> {
    // SAFETY: the request is the engine's and rooted.
    let (specifier, as_source) = unsafe {
        let specifier = GetModuleRequestSpecifier(cx, request);
        if specifier.is_null() {
            return Err(Thrown);
        }
        let as_source = ModuleRequestIsSourcePhase(cx.raw_cx(), request.into());
        (convert::string_from_js(cx, specifier), as_source)
    };
    match importer {
        Some((Origin::Platform, name)) => platform_record(cx, &specifier, &name),
        Some((Origin::Importer, _)) => exact_record(cx, &specifier),
        Some((_, name)) => resolved_record(cx, &specifier, Some(&name), as_source),
        None => resolved_record(cx, &specifier, None, as_source),
    }
}

fn platform_record(
    cx: &mut JSContext,
    specifier: &str,
    importer: &str,
) -> Result<*mut JSObject, Thrown> {
    let name = resolve::join(resolve::folder_of(importer), specifier);
    entry_record(cx, &name)
}

fn entry_record(cx: &mut JSContext, name: &str) -> Result<*mut JSObject, Thrown> {
    let modules = &core().modules;
    let key = Key::Platform(name.to_owned());
    if let Some(record) = modules.record(&key) {
        return Ok(record);
    }
    let source = modules.platform.borrow().get(name).copied();
    let Some(source) = source else {
        let message = format!("the platform has no module \"{name}\"");
        return Err(throw::throw(cx, "Error", &message));
    };
    let file = format!("mayfly:{name}");
    let record = compile_module(cx, &file, source, Origin::Platform, name, ptr::null_mut())?;
    modules.keep(key, record);
    Ok(record)
}

/// A module by the name it has in the table, or a built-in by its specifier.
fn exact_record(cx: &mut JSContext, name: &str) -> Result<*mut JSObject, Thrown> {
    let modules = &core().modules;
    if modules.has(name) {
        if !modules.importing.replace(true) {
            *modules.main.borrow_mut() = Some(name.to_owned());
        }
        return module_record(cx, name, false);
    }
    match builtin_record(cx, name)? {
        Some(record) => Ok(record),
        None => Err(missing(cx, name, None)),
    }
}

fn resolved_record(
    cx: &mut JSContext,
    specifier: &str,
    importer: Option<&str>,
    as_source: bool,
) -> Result<*mut JSObject, Thrown> {
    match core().modules.resolve(specifier, importer) {
        Resolved::Module(name) => module_record(cx, &name, as_source),
        Resolved::Builtin(name) => match builtin_record(cx, &name)? {
            Some(record) => Ok(record),
            None => Err(missing(cx, specifier, importer)),
        },
        Resolved::Missing => Err(missing(cx, specifier, importer)),
    }
}

pub(crate) fn missing(cx: &mut JSContext, specifier: &str, importer: Option<&str>) -> Thrown {
    let message = core().modules.missing_message(specifier, importer);
    throw::throw(cx, "Error", &message)
}

fn module_record(cx: &mut JSContext, name: &str, as_source: bool) -> Result<*mut JSObject, Thrown> {
    let modules = &core().modules;
    let Some(kind) = modules.kind(name) else {
        return Err(missing(cx, name, None));
    };
    let key = if as_source && kind == ModuleKind::Wasm {
        Key::WasmSource(name.to_owned())
    } else {
        Key::Module(name.to_owned())
    };
    if let Some(record) = modules.record(&key) {
        return Ok(record);
    }
    let content = modules.content(name).unwrap_or_default();
    let record = match kind {
        ModuleKind::Js => {
            let source = String::from_utf8_lossy(&content);
            match compiled_record(cx, name, source.len()) {
                Some(record) => record,
                None => compile_module(cx, name, &source, Origin::Module, name, ptr::null_mut())?,
            }
        }
        ModuleKind::CommonJs => commonjs_record(cx, name)?,
        ModuleKind::Json => json_record(cx, name, &String::from_utf8_lossy(&content))?,
        ModuleKind::Text => {
            let text = String::from_utf8_lossy(&content);
            let value = convert::string_to_js(cx, &text)?;
            value_record(cx, value)?
        }
        ModuleKind::Data => {
            let value = convert::buffer_to_js(cx, content)?;
            value_record(cx, value)?
        }
        ModuleKind::Wasm if as_source => wasm::source_record(cx, name, content)?,
        ModuleKind::Wasm => {
            let value = wasm::compile(cx, content)?;
            value_record(cx, value)?
        }
    };
    modules.keep(key, record);
    Ok(record)
}

fn value_record(cx: &mut JSContext, value: JSVal) -> Result<*mut JSObject, Thrown> {
    rooted!(&in(cx) let value = value);
    // SAFETY: the value is rooted.
    some(unsafe { CreateDefaultExportSyntheticModule(cx, value.handle()) })
}

fn some(object: *mut JSObject) -> Result<*mut JSObject, Thrown> {
    if object.is_null() {
        Err(Thrown)
    } else {
        Ok(object)
    }
}

fn json_record(cx: &mut JSContext, name: &str, text: &str) -> Result<*mut JSObject, Thrown> {
    let options = options_for(cx, name);
    let mut units = transform_str_to_source_text(text);
    // SAFETY: options and text outlive the call.
    some(unsafe { CompileJsonModule1(cx, options.ptr, &mut units) })
}

pub(crate) fn options_for(cx: &mut JSContext, file: &str) -> CompileOptionsWrapper {
    let file = CString::new(file.replace('\0', "\u{FFFD}")).unwrap_or_default();
    CompileOptionsWrapper::new(cx, file, 1)
}

fn compile_module(
    cx: &mut JSContext,
    file: &str,
    source: &str,
    origin: Origin,
    name: &str,
    exports: *mut JSObject,
) -> Result<*mut JSObject, Thrown> {
    // The info keeps `exports` alive from here on.
    let number = core().modules.add_info(origin, name, exports);
    let options = options_for(cx, file);
    let mut units = transform_str_to_source_text(source);
    // SAFETY: options and source outlive the call, which copies what it keeps; the private value is
    // set before anything can run the module.
    unsafe {
        let record = some(CompileModule1(cx, options.ptr, &mut units))?;
        SetModulePrivate(record, &Int32Value(number));
        Ok(record)
    }
}

/// A module that was compiled elsewhere, if it was and what came of it is sound.
fn compiled_record(cx: &mut JSContext, name: &str, source_bytes: usize) -> Option<*mut JSObject> {
    let modules = &core().modules;
    let compiled = modules.take_compiled(name)?;
    let record = stencil::decode(cx, compiled, source_bytes)?;
    let number = modules.add_info(Origin::Module, name, ptr::null_mut());
    // SAFETY: the record is a module that was just made, and nothing has run it.
    unsafe { SetModulePrivate(record, &Int32Value(number)) };
    Some(record)
}

fn commonjs_record(cx: &mut JSContext, name: &str) -> Result<*mut JSObject, Thrown> {
    let mut names = Vec::new();
    commonjs_names(name, COMMONJS_AGAIN_DEPTH_MAX, &mut names);
    let source = shim::source(names.iter().map(String::as_str), DefaultExport::Whole);
    compile_module(cx, name, &source, Origin::CommonJs, name, ptr::null_mut())
}

fn commonjs_names(name: &str, depth: usize, names: &mut Vec<String>) {
    let modules = &core().modules;
    let Some(text) = modules.text(name) else {
        return;
    };
    let found = commonjs::exports_of(&text);
    names.extend(found.names);
    if depth == 0 {
        return;
    }
    for specifier in found.again {
        if names.len() >= shim::SHIM_EXPORTS_MAX {
            return;
        }
        if let Resolved::Module(again) = modules.resolve(&specifier, Some(name))
            && again != name
            && modules.kind(&again) == Some(ModuleKind::CommonJs)
        {
            commonjs_names(&again, depth - 1, names);
        }
    }
}

/// The shim of a built-in; `None` if the platform does not know it.
pub(crate) fn builtin_record(
    cx: &mut JSContext,
    specifier: &str,
) -> Result<Option<*mut JSObject>, Thrown> {
    let modules = &core().modules;
    let key = Key::Builtin(specifier.to_owned());
    if let Some(record) = modules.record(&key) {
        return Ok(Some(record));
    }
    let name = convert::string_to_js(cx, specifier)?;
    rooted!(&in(cx) let arguments: Vec<JSVal> = vec![name]);
    rooted!(&in(cx) let mut exports = UndefinedValue());
    crate::turn::call_handler(cx, "builtin", &arguments, exports.handle_mut())?;
    if !exports.is_object() {
        return Ok(None);
    }
    rooted!(&in(cx) let exports = exports.to_object());
    let names = convert::own_names(cx, exports.handle())?;
    let default = if names.iter().any(|name| name == "default") {
        DefaultExport::Property
    } else {
        DefaultExport::Whole
    };
    let source = shim::source(names.iter().map(String::as_str), default);
    let record = compile_module(
        cx,
        specifier,
        &source,
        Origin::Builtin,
        specifier,
        exports.get(),
    )?;
    modules.keep(key, record);
    Ok(Some(record))
}

/// Loads all that a module imports.
fn load_graph(cx: &mut JSContext, record: HandleObject) -> Result<(), Thrown> {
    let core = core();
    // SAFETY: the record is rooted; the callbacks are static functions.
    let finished = unsafe {
        LoadRequestedModules(
            cx,
            record,
            HandleValue::undefined(),
            Some(on_loaded),
            Some(on_load_failed),
        )
    };
    if core.load_failed.take() {
        rooted!(&in(cx) let error = core.load_error.get());
        core.load_error.set(UndefinedValue());
        return Err(throw::throw_value(cx, error.handle()));
    }
    if finished { Ok(()) } else { Err(Thrown) }
}

unsafe extern "C" fn on_loaded(_: *mut RawJSContext, _: RawHandle<JSVal>) -> bool {
    true
}

unsafe extern "C" fn on_load_failed(
    _: *mut RawJSContext,
    _: RawHandle<JSVal>,
    error: RawHandle<JSVal>,
) -> bool {
    core().load_failed.set(true);
    core().load_error.set(error.get());
    true
}

/// Loads, links and starts a module. The promise of its evaluation is not rooted.
fn evaluate(cx: &mut JSContext, record: HandleObject) -> Result<*mut JSObject, Thrown> {
    load_graph(cx, record)?;
    rooted!(&in(cx) let mut promise = UndefinedValue());
    // SAFETY: the handles are rooted, and the graph was loaded as linking asks for.
    let evaluated =
        unsafe { ModuleLink(cx, record) && ModuleEvaluate(cx, record, promise.handle_mut()) };
    if evaluated && promise.is_object() {
        Ok(promise.to_object())
    } else {
        Err(Thrown)
    }
}

/// Evaluates a module that must be done when this returns.
fn evaluate_now(cx: &mut JSContext, record: HandleObject) -> Result<(), Thrown> {
    let promise = evaluate(cx, record)?;
    rooted!(&in(cx) let promise = promise);
    // SAFETY: `promise` is a rooted promise of the engine's.
    match unsafe { GetPromiseState(promise.handle()) } {
        PromiseState::Fulfilled => Ok(()),
        PromiseState::Rejected => {
            rooted!(&in(cx) let mut error = UndefinedValue());
            // SAFETY: as above, and it is settled.
            unsafe {
                JS_GetPromiseResult(promise.handle(), error.handle_mut());
                SetAnyPromiseIsHandled(cx, promise.handle());
            }
            Err(throw::throw_value(cx, error.handle()))
        }
        PromiseState::Pending => {
            // workerd's words, which programs look for.
            let message = "Top-level await in module is not permitted at this time.";
            Err(throw::throw(cx, "Error", message))
        }
    }
}

/// Evaluates the platform from `entry`.
pub(crate) fn evaluate_platform(cx: &mut JSContext, entry: &str) -> Result<(), Thrown> {
    let record = entry_record(cx, entry)?;
    rooted!(&in(cx) let record = record);
    evaluate_now(cx, record.handle())
}

/// A module of the platform that was left for later, with what it imports: its namespace.
pub(crate) fn platform_module(
    cx: &mut JSContext,
    name: &str,
    mut namespace: MutableHandleValue,
) -> Result<(), Thrown> {
    let record = entry_record(cx, name)?;
    rooted!(&in(cx) let record = record);
    evaluate_now(cx, record.handle())?;
    // SAFETY: the record is rooted and linked.
    let object = some(unsafe { GetModuleNamespace(cx, record.handle()) })?;
    namespace.set(ObjectValue(object));
    Ok(())
}

/// `require` of an ES module: its namespace.
pub(crate) fn require(
    cx: &mut JSContext,
    name: &str,
    mut namespace: MutableHandleValue,
) -> Result<(), Thrown> {
    let record = exact_record(cx, name)?;
    rooted!(&in(cx) let record = record);
    evaluate_now(cx, record.handle())?;
    // SAFETY: the record is rooted and linked.
    let object = some(unsafe { GetModuleNamespace(cx, record.handle()) })?;
    namespace.set(ObjectValue(object));
    Ok(())
}
