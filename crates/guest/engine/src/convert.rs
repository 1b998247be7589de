//! `Data` to JavaScript values and back.
//!
//! Copies, except that large byte vectors are handed over to the engine as they are. Only plain data
//! crosses: functions, symbols and BigInts are a TypeError, and so is memory that another thread
//! could write to.
//!
//! Invariant: a raw pointer into an ArrayBuffer or a string lives only between two calls into the
//! engine, in one function here.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ptr::{self, NonNull};
use std::slice;

use encoding_rs::mem;
use mozjs::context::JSContext;
use mozjs::conversions::latin1_to_string;
use mozjs::jsapi::js::GetArrayBufferViewLengthAndData;
use mozjs::jsapi::{
    GetArrayBufferLengthAndData, HandleValueArray, IsArrayBufferObject, IsCallable,
    IsDetachedArrayBufferObject, IsSharedArrayBufferObject, JS_DeprecatedStringHasLatin1Chars,
    JS_IsArrayBufferViewObject, JSITER_OWNONLY, JSObject, JSPROP_ENUMERATE, JSString,
};
use mozjs::jsval::{
    BooleanValue, DoubleValue, Int32Value, JSVal, NullValue, ObjectValue, StringValue,
    UndefinedValue,
};
use mozjs::rooted;
use mozjs::rust::wrappers2::{
    GetArrayLength, GetPropertyKeys, IsArrayObject1, JS_AtomizeAndPinStringN, JS_AtomizeStringN,
    JS_ClearPendingException, JS_DefinePropertyById2, JS_GetArrayBufferViewBuffer, JS_GetElement,
    JS_GetLatin1StringCharsAndLength, JS_GetPropertyById, JS_GetTwoByteStringCharsAndLength,
    JS_IdToValue, JS_NewPlainObject, JS_NewStringCopyN, JS_NewUCStringCopyN, JS_NewUint8Array,
    JS_NewUint8ArrayWithBuffer, JS_StringToId, NewArrayBufferWithContents, NewArrayObject,
    StealArrayBufferContents,
};
use mozjs::rust::{HandleObject, HandleValue, IdVector, ToString};

use crate::core::core;
use crate::data::{Buffers, Data};
use crate::throw::{Thrown, throw, throw_type_error};

/// How deep lists and records may nest. The seam's own shapes stay under ten.
pub const DATA_DEPTH_MAX: usize = 64;

/// From this size on, bytes are handed over instead of copied: below it an allocation and its
/// later free by the collector cost more than the copy.
const HAND_OVER_BYTES_MIN: usize = 4096;

/// Longer names of properties are not kept as atoms.
const NAME_BYTES_MAX: usize = 64;

/// Reads a string; lone surrogates become U+FFFD.
pub(crate) fn string_from_js(cx: &JSContext, string: *mut JSString) -> String {
    let Some(string) = NonNull::new(string) else {
        return String::new();
    };
    // SAFETY: the caller holds a live string. The characters stay where they are while `cx` is only
    // borrowed shared, so no collection can move or free them before they are copied.
    unsafe {
        let mut length = 0;
        if JS_DeprecatedStringHasLatin1Chars(string.as_ptr()) {
            let chars = JS_GetLatin1StringCharsAndLength(cx, string.as_ptr(), &mut length);
            if chars.is_null() {
                return String::new();
            }
            let chars = slice::from_raw_parts(chars, length);
            if chars.is_ascii() {
                return String::from_utf8_unchecked(chars.to_vec());
            }
            return latin1_to_string(cx, string);
        }
        let chars = JS_GetTwoByteStringCharsAndLength(cx, string.as_ptr(), &mut length);
        if chars.is_null() {
            return String::new();
        }
        String::from_utf16_lossy(slice::from_raw_parts(chars, length))
    }
}

thread_local! {
    /// Atoms of the program's own words, by where they stand in the program.
    static WORDS: RefCell<HashMap<(usize, usize), NonNull<JSString>>> = RefCell::default();
}

/// The atom of a word of the program's own. It is pinned, so it is never collected, and atoms do not
/// move.
fn word(cx: &JSContext, text: &'static str) -> Result<NonNull<JSString>, Thrown> {
    let place = (text.as_ptr() as usize, text.len());
    if let Some(atom) = WORDS.with_borrow(|words| words.get(&place).copied()) {
        return Ok(atom);
    }
    // SAFETY: the text is read for its true length; the words that are ever asked for are ASCII.
    let atom = unsafe { JS_AtomizeAndPinStringN(cx, text.as_ptr().cast(), text.len()) };
    let atom = NonNull::new(atom).ok_or(Thrown)?;
    WORDS.with_borrow_mut(|words| words.insert(place, atom));
    Ok(atom)
}

/// Makes a JavaScript string. The value is not rooted.
pub(crate) fn string_to_js(cx: &mut JSContext, text: &str) -> Result<JSVal, Thrown> {
    // The engine's own decoder reads UTF-8 a character at a time; these read it by vectors.
    // SAFETY: each function copies the characters before it returns, and is told their true number.
    let string = unsafe {
        if text.is_ascii() {
            JS_NewStringCopyN(cx, text.as_ptr().cast(), text.len())
        } else if mem::is_str_latin1(text) {
            let bytes = mem::encode_latin1_lossy(text);
            JS_NewStringCopyN(cx, bytes.as_ptr().cast(), bytes.len())
        } else {
            let mut units = vec![0; text.len()];
            let count = mem::convert_str_to_utf16(text, &mut units);
            JS_NewUCStringCopyN(cx, units.as_ptr(), count)
        }
    };
    match NonNull::new(string) {
        // SAFETY: the engine just made this string, and nothing ran since.
        Some(string) => Ok(StringValue(unsafe { string.as_ref() })),
        None => Err(Thrown),
    }
}

pub(crate) fn number_to_js(number: f64) -> JSVal {
    let whole = number as i32;
    if f64::from(whole) == number && (whole != 0 || number.is_sign_positive()) {
        Int32Value(whole)
    } else if number.is_nan() {
        // One bit pattern: others could be read as tagged values.
        DoubleValue(f64::NAN)
    } else {
        DoubleValue(number)
    }
}

/// Makes a JavaScript value. It is not rooted.
pub(crate) fn to_js(cx: &mut JSContext, data: Data) -> Result<JSVal, Thrown> {
    match data {
        Data::Undefined => Ok(UndefinedValue()),
        Data::Null => Ok(NullValue()),
        Data::Bool(value) => Ok(BooleanValue(value)),
        Data::Number(number) => Ok(number_to_js(number)),
        Data::String(text) => string_to_js(cx, &text),
        Data::Word(text) => {
            let atom = word(cx, text)?;
            // SAFETY: a pinned atom is never collected.
            Ok(StringValue(unsafe { atom.as_ref() }))
        }
        Data::Name(text) => name_to_js(cx, &text),
        Data::Bytes(bytes) => bytes_to_js(cx, bytes),
        Data::Passing(bytes) => passing_to_js(cx, bytes),
        Data::List(items) => list_to_js(cx, items),
        Data::Record(fields) => record_to_js(cx, fields),
    }
}

/// Makes the atom of a property's name, or takes one of the last few. The value is not rooted.
fn name_to_js(cx: &mut JSContext, name: &str) -> Result<JSVal, Thrown> {
    if name.len() > NAME_BYTES_MAX || !name.is_ascii() {
        return string_to_js(cx, name);
    }
    if let Some(atom) = core().names.get(name) {
        return Ok(atom);
    }
    // SAFETY: the text is read for its true length, as Latin-1, of which ASCII is a part.
    let atom = unsafe { JS_AtomizeStringN(cx, name.as_ptr().cast(), name.len()) };
    // SAFETY: the engine just made this string, and nothing ran since.
    let atom = StringValue(unsafe { NonNull::new(atom).ok_or(Thrown)?.as_ref() });
    core().names.keep(name, atom);
    Ok(atom)
}

/// Writes bytes where the platform reads what comes, and gives their number.
fn passing_to_js(cx: &mut JSContext, bytes: Vec<u8>) -> Result<JSVal, Thrown> {
    let page = core().arrivals.get();
    if !page.is_null() {
        let (mut length, mut shared, mut start) = (0, false, ptr::null_mut());
        // SAFETY: the page is a live view, for the core roots it and `setArrivals` checked its class. No
        // collection can happen between asking where its bytes are and writing them, and no more are
        // written than it has: none, once its buffer is detached.
        unsafe {
            GetArrayBufferViewLengthAndData(page, &mut length, &mut shared, &mut start);
            if !shared && bytes.len() <= length {
                ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len());
                return Ok(number_to_js(bytes.len() as f64));
            }
        }
    }
    bytes_to_js(cx, bytes)
}

/// Some of what stands on the page that `setArrivals` was given, as one char each.
pub(crate) fn arrived_text(cx: &mut JSContext, start: i32, end: i32) -> Result<JSVal, Thrown> {
    let page = core().arrivals.get();
    let mut text = Vec::new();
    if !page.is_null() {
        let (mut length, mut shared, mut bytes) = (0, false, ptr::null_mut());
        // SAFETY: the page is a live view, as in `passing_to_js`. What is asked for is read only if the view
        // has it, and copied, because making a string may move the page.
        unsafe {
            GetArrayBufferViewLengthAndData(page, &mut length, &mut shared, &mut bytes);
            if !shared && start >= 0 && end > start && end as usize <= length {
                let place = bytes.add(start as usize);
                text.extend_from_slice(slice::from_raw_parts(place, (end - start) as usize));
            }
        }
    }
    // SAFETY: the characters are copied before the call returns, and it is told their true number.
    let string = unsafe { JS_NewStringCopyN(cx, text.as_ptr().cast(), text.len()) };
    let string = NonNull::new(string).ok_or(Thrown)?;
    // SAFETY: the engine just made this string, and nothing ran since.
    Ok(StringValue(unsafe { string.as_ref() }))
}

fn list_to_js(cx: &mut JSContext, items: Vec<Data>) -> Result<JSVal, Thrown> {
    rooted!(&in(cx) let mut values: Vec<JSVal> = Vec::with_capacity(items.len()));
    for item in items {
        let value = to_js(cx, item)?;
        values.push(value);
    }
    let contents = HandleValueArray::from(&values);
    // SAFETY: `contents` points into `values`, which is rooted and not touched meanwhile.
    let array = unsafe { NewArrayObject(cx, &contents) };
    object_value(array)
}

fn record_to_js(
    cx: &mut JSContext,
    fields: Vec<(Cow<'static, str>, Data)>,
) -> Result<JSVal, Thrown> {
    // SAFETY: a realm is entered for as long as the engine lives.
    rooted!(&in(cx) let object = unsafe { JS_NewPlainObject(cx) });
    if object.is_null() {
        return Err(Thrown);
    }
    for (name, data) in fields {
        let value = to_js(cx, data)?;
        rooted!(&in(cx) let value = value);
        let key = match name {
            Cow::Borrowed(name) => word(cx, name)?.as_ptr(),
            Cow::Owned(name) => string_to_js(cx, &name)?.to_string(),
        };
        rooted!(&in(cx) let key = key);
        define_by(cx, object.handle(), key.handle(), value.handle())?;
    }
    Ok(ObjectValue(object.get()))
}

/// Defines an ordinary property.
pub(crate) fn define(
    cx: &mut JSContext,
    object: HandleObject,
    name: &str,
    value: HandleValue,
) -> Result<(), Thrown> {
    let key = string_to_js(cx, name)?;
    rooted!(&in(cx) let key = key.to_string());
    define_by(cx, object, key.handle(), value)
}

fn define_by(
    cx: &mut JSContext,
    object: HandleObject,
    key: mozjs::rust::Handle<*mut JSString>,
    value: HandleValue,
) -> Result<(), Thrown> {
    rooted!(&in(cx) let mut id: mozjs::jsapi::jsid);
    // SAFETY: every handle is a root on this stack, or the caller's.
    let defined = unsafe {
        JS_StringToId(cx, key, id.handle_mut())
            && JS_DefinePropertyById2(cx, object, id.handle(), value, JSPROP_ENUMERATE as u32)
    };
    if defined { Ok(()) } else { Err(Thrown) }
}

fn object_value(object: *mut JSObject) -> Result<JSVal, Thrown> {
    if object.is_null() {
        Err(Thrown)
    } else {
        Ok(ObjectValue(object))
    }
}

/// A `Uint8Array` over a buffer of its own.
pub(crate) fn bytes_to_js(cx: &mut JSContext, bytes: Vec<u8>) -> Result<JSVal, Thrown> {
    if bytes.len() >= HAND_OVER_BYTES_MIN {
        let buffer = buffer_to_js(cx, bytes)?;
        rooted!(&in(cx) let buffer = buffer.to_object());
        // SAFETY: `buffer` is a rooted ArrayBuffer; -1 asks for all of it.
        return object_value(unsafe { JS_NewUint8ArrayWithBuffer(cx, buffer.handle(), 0, -1) });
    }
    // SAFETY: the array has `bytes.len()` elements of one byte, and no collection can happen
    // between asking where they are and writing them.
    unsafe {
        let array = JS_NewUint8Array(cx, bytes.len());
        if array.is_null() {
            return Err(Thrown);
        }
        let (mut length, mut shared, mut start) = (0, false, ptr::null_mut());
        GetArrayBufferViewLengthAndData(array, &mut length, &mut shared, &mut start);
        if !bytes.is_empty() {
            debug_assert_eq!(length, bytes.len());
            ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len());
        }
        Ok(ObjectValue(array))
    }
}

/// An `ArrayBuffer` that takes over the vector's memory.
pub(crate) fn buffer_to_js(cx: &mut JSContext, bytes: Vec<u8>) -> Result<JSVal, Thrown> {
    if bytes.is_empty() {
        // SAFETY: no contents are given, so the engine makes its own empty ones.
        return object_value(unsafe { NewArrayBufferWithContents(cx, 0, ptr::null_mut()) });
    }
    let contents = Box::into_raw(bytes.into_boxed_slice());
    // SAFETY: Rust's memory in this process comes from malloc (`memory::Malloc`, which no other
    // global allocator can replace), and so does the engine's: it frees with `free` what it takes
    // over. When it fails it has taken nothing, so the box is ours again.
    unsafe {
        let buffer = NewArrayBufferWithContents(cx, contents.len(), contents.cast());
        if buffer.is_null() {
            drop(Box::from_raw(contents));
        }
        object_value(buffer)
    }
}

/// Copies a JavaScript value out.
pub(crate) fn from_js(cx: &mut JSContext, value: HandleValue) -> Result<Data, Thrown> {
    from_js_with(cx, value, Buffers::Copied)
}

/// The same, or with the memory of ArrayBuffers taken over.
pub(crate) fn from_js_with(
    cx: &mut JSContext,
    value: HandleValue,
    buffers: Buffers,
) -> Result<Data, Thrown> {
    from_js_within(cx, value, DATA_DEPTH_MAX, buffers)
}

fn from_js_within(
    cx: &mut JSContext,
    value: HandleValue,
    depth: usize,
    buffers: Buffers,
) -> Result<Data, Thrown> {
    let raw = value.get();
    if raw.is_undefined() {
        Ok(Data::Undefined)
    } else if raw.is_null() {
        Ok(Data::Null)
    } else if raw.is_boolean() {
        Ok(Data::Bool(raw.to_boolean()))
    } else if raw.is_number() {
        Ok(Data::Number(raw.to_number()))
    } else if raw.is_string() {
        Ok(Data::String(string_from_js(cx, raw.to_string())))
    } else if raw.is_object() {
        rooted!(&in(cx) let object = raw.to_object());
        object_from_js(cx, object.handle(), depth, buffers)
    } else {
        Err(throw_type_error(
            cx,
            "a symbol or BigInt cannot be passed to a native op",
        ))
    }
}

fn object_from_js(
    cx: &mut JSContext,
    object: HandleObject,
    depth: usize,
    buffers: Buffers,
) -> Result<Data, Thrown> {
    if buffers == Buffers::Taken
        && let Some(bytes) = take_buffer(cx, object)
    {
        return Ok(Data::Bytes(bytes));
    }
    if let Some(bytes) = bytes_from_js(cx, object)? {
        return Ok(Data::Bytes(bytes));
    }
    // SAFETY: `object` is rooted by its handle.
    if unsafe { IsCallable(object.get()) } {
        return Err(throw_type_error(
            cx,
            "a function cannot be passed to a native op",
        ));
    }
    if depth == 0 {
        return Err(throw(
            cx,
            "RangeError",
            "a value passed to a native op nests too deeply",
        ));
    }
    let mut is_array = false;
    // SAFETY: `object` is rooted by its handle.
    if !unsafe { IsArrayObject1(cx, object, &mut is_array) } {
        return Err(Thrown);
    }
    if is_array {
        list_from_js(cx, object, depth - 1, buffers)
    } else {
        record_from_js(cx, object, depth - 1, buffers)
    }
}

fn list_from_js(
    cx: &mut JSContext,
    object: HandleObject,
    depth: usize,
    buffers: Buffers,
) -> Result<Data, Thrown> {
    let mut length = 0;
    // SAFETY: `object` is a rooted array.
    if !unsafe { GetArrayLength(cx, object, &mut length) } {
        return Err(Thrown);
    }
    // The length is the script's word, so it must not size an allocation by itself.
    let mut items = Vec::with_capacity(length.min(1024) as usize);
    rooted!(&in(cx) let mut value = UndefinedValue());
    for index in 0..length {
        // SAFETY: the handles are rooted.
        if !unsafe { JS_GetElement(cx, object, index, value.handle_mut()) } {
            return Err(Thrown);
        }
        items.push(from_js_within(cx, value.handle(), depth, buffers)?);
    }
    Ok(Data::List(items))
}

fn record_from_js(
    cx: &mut JSContext,
    object: HandleObject,
    depth: usize,
    buffers: Buffers,
) -> Result<Data, Thrown> {
    let mut ids = IdVector::new(cx);
    // SAFETY: the handles are rooted.
    if !unsafe { GetPropertyKeys(cx, object, JSITER_OWNONLY, ids.handle_mut()) } {
        return Err(Thrown);
    }
    let mut fields = Vec::with_capacity(ids.len());
    rooted!(&in(cx) let mut id: mozjs::jsapi::jsid);
    rooted!(&in(cx) let mut value = UndefinedValue());
    for index in 0..ids.len() {
        id.set(ids[index]);
        let name = id_text(cx, id.handle())?;
        // SAFETY: the handles are rooted.
        if !unsafe { JS_GetPropertyById(cx, object, id.handle(), value.handle_mut()) } {
            return Err(Thrown);
        }
        fields.push((
            Cow::Owned(name),
            from_js_within(cx, value.handle(), depth, buffers)?,
        ));
    }
    Ok(Data::Record(fields))
}

/// The own enumerable string keys of an object, in order.
pub(crate) fn own_names(cx: &mut JSContext, object: HandleObject) -> Result<Vec<String>, Thrown> {
    let mut ids = IdVector::new(cx);
    // SAFETY: the handles are rooted.
    if !unsafe { GetPropertyKeys(cx, object, JSITER_OWNONLY, ids.handle_mut()) } {
        return Err(Thrown);
    }
    rooted!(&in(cx) let mut id: mozjs::jsapi::jsid);
    let mut names = Vec::with_capacity(ids.len());
    for index in 0..ids.len() {
        id.set(ids[index]);
        names.push(id_text(cx, id.handle())?);
    }
    Ok(names)
}

/// A property key as text.
pub(crate) fn id_text(cx: &mut JSContext, id: mozjs::rust::HandleId) -> Result<String, Thrown> {
    rooted!(&in(cx) let mut value = UndefinedValue());
    // SAFETY: the id is rooted by its handle; converting a string or an index cannot run script.
    unsafe {
        if !JS_IdToValue(cx, id.get(), value.handle_mut()) {
            return Err(Thrown);
        }
        let text = ToString(cx, value.handle());
        if text.is_null() {
            return Err(Thrown);
        }
        Ok(string_from_js(cx, text))
    }
}

/// Takes over the memory of an ArrayBuffer of ordinary kind; `None` for anything else, which stays as
/// it is.
fn take_buffer(cx: &mut JSContext, object: HandleObject) -> Option<Vec<u8>> {
    let (mut length, mut shared, mut start) = (0, false, ptr::null_mut());
    // SAFETY: the class is checked before the buffer is looked at. What the engine gives up was made
    // by its own malloc, whose memory is Rust's as well (see `buffer_to_js`), has `length` bytes, and
    // belongs to nobody else from then on; where it gives nothing up it gives null.
    unsafe {
        if !IsArrayBufferObject(object.get()) || IsDetachedArrayBufferObject(object.get()) {
            return None;
        }
        GetArrayBufferLengthAndData(object.get(), &mut length, &mut shared, &mut start);
        if shared || length < HAND_OVER_BYTES_MIN {
            return None;
        }
        let contents: *mut u8 = StealArrayBufferContents(cx, object).cast();
        if contents.is_null() {
            JS_ClearPendingException(cx);
            return None;
        }
        Some(Vec::from_raw_parts(contents, length, length))
    }
}

/// The bytes of an ArrayBuffer or of what a view shows of one; `None` if it is neither.
pub(crate) fn bytes_from_js(
    cx: &mut JSContext,
    object: HandleObject,
) -> Result<Option<Vec<u8>>, Thrown> {
    first_bytes_from_js(cx, object, usize::MAX)
}

/// The same, but at most so many.
pub(crate) fn first_bytes_from_js(
    cx: &mut JSContext,
    object: HandleObject,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, Thrown> {
    let raw = object.get();
    let (mut length, mut shared, mut start) = (0, false, ptr::null_mut());
    // SAFETY: `raw` is live, its class is checked before each read, and the bytes are copied before
    // anything can detach, resize or move them.
    unsafe {
        if JS_IsArrayBufferViewObject(raw) {
            GetArrayBufferViewLengthAndData(raw, &mut length, &mut shared, &mut start);
        } else if IsArrayBufferObject(raw) {
            if IsDetachedArrayBufferObject(raw) {
                return Err(throw_type_error(cx, "the ArrayBuffer is detached"));
            }
            GetArrayBufferLengthAndData(raw, &mut length, &mut shared, &mut start);
        } else if IsSharedArrayBufferObject(raw) {
            shared = true;
        } else {
            return Ok(None);
        }
        if shared {
            return Err(throw_type_error(
                cx,
                "shared memory cannot be passed to a native op",
            ));
        }
        if length > 0 {
            let count = length.min(bytes_max);
            return Ok(Some(slice::from_raw_parts(start, count).to_vec()));
        }
    }
    check_attached(cx, object)?;
    Ok(Some(Vec::new()))
}

/// Tells an empty view from one whose buffer was taken away: both have length zero.
fn check_attached(cx: &mut JSContext, object: HandleObject) -> Result<(), Thrown> {
    // SAFETY: the class is checked before the buffer is asked for.
    unsafe {
        if !JS_IsArrayBufferViewObject(object.get()) {
            return Ok(());
        }
        let mut shared = false;
        let buffer = JS_GetArrayBufferViewBuffer(cx, object, &mut shared);
        if buffer.is_null() {
            return Err(Thrown);
        }
        if IsDetachedArrayBufferObject(buffer) {
            return Err(throw_type_error(cx, "the ArrayBuffer is detached"));
        }
    }
    Ok(())
}
