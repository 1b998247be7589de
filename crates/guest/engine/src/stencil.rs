//! Compiled modules as bytes: made in one process, taken in by another.
//!
//! A module is parsed in full before its first line runs, which for 100 KB takes longer than all the
//! rest of a start. What the parser made can be written down and read back in a fraction of that. The
//! engine's reader checks a build's name and a sum over the bytes, and beyond that trusts them: they
//! must come from a process that has run nobody's code (`crates/host/supervisor/src/compiled.rs`).
//!
//! Invariant: whatever is wrong with the bytes, the module is parsed as if there were none.

use std::ffi::c_char;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::{fs, ptr, slice};

use mozjs::context::{JSContext, RawJSContext};
use mozjs::jsapi::JS::{
    ConstUTF8CharsZ, DelazificationOption, EagerBaselineOption, InstantiateOptions,
    ReadOnlyDecodeOptions, Stencil as RawStencil, TranscodeResult,
};
use mozjs::jsapi::JSObject;
use mozjs::rust::wrappers2::{
    CompileModuleScriptToStencil, DecodeStencil, InstantiateModuleStencil,
};
use mozjs::rust::{Stencil, transform_str_to_source_text};

use crate::modules::options_for;
use crate::throw;

/// What the engine asks of where its bytes stand (`BytecodeOffsetAlignment` in `js/Transcoding.h`).
const ALIGNMENT: usize = 4;

/// `mozilla::Vector` of bytes without inline storage, whose memory is malloc's.
#[repr(C)]
struct ByteVector {
    begin: *mut u8,
    length: usize,
    capacity: usize,
}

/// `mozilla::Range` of constant bytes.
#[repr(C)]
struct ByteRange {
    begin: *const u8,
    end: *const u8,
}

unsafe extern "C" {
    // Public functions of `js/experimental/JSStencil.h` and `js/BuildId.h` that the bindings leave out
    // or know with other types.
    #[link_name = "_ZN2JS13EncodeStencilEP9JSContextPN2js8frontend32InitialStencilAndDelazificationsERN7mozilla6VectorIhLm0ENS6_17MallocAllocPolicyEEE"]
    fn encode_stencil(
        cx: *mut RawJSContext,
        stencil: *mut RawStencil,
        buffer: *mut ByteVector,
    ) -> TranscodeResult;
    #[link_name = "_ZN2JS19SetProcessBuildIdOpEPFbPN7mozilla6VectorIcLm0EN2js17SystemAllocPolicyEEEE"]
    fn set_process_build_id_op(op: unsafe extern "C" fn(*mut ByteVector) -> bool);
    #[link_name = "_ZN2JS21GetScriptSourceLengthEPN2js8frontend32InitialStencilAndDelazificationsE"]
    fn source_length(stencil: *mut RawStencil) -> usize;
}

impl ByteVector {
    const fn empty() -> Self {
        Self {
            // What a vector without memory of its own points to: not null, and never read.
            begin: std::ptr::dangling_mut::<u8>(),
            length: 0,
            capacity: 0,
        }
    }
}

impl Drop for ByteVector {
    fn drop(&mut self) {
        if self.capacity > 0 {
            // SAFETY: the engine's allocation policy takes this vector's memory from malloc.
            unsafe { libc::free(self.begin.cast()) };
        }
    }
}

/// Names this build to the engine. Once, before a context.
pub(crate) fn install() {
    build_id();
    // SAFETY: the callback is a static function.
    unsafe { set_process_build_id_op(on_build_id) };
}

/// The program's file as it is now: bytes of another build are parsed anew, and a zygote of a replaced
/// binary is another build.
fn build_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        let version = env!("CARGO_PKG_VERSION");
        match fs::metadata("/proc/self/exe") {
            Ok(file) => format!(
                "mayfly {version} {}.{}.{}.{}.{}",
                file.dev(),
                file.ino(),
                file.size(),
                file.mtime(),
                file.mtime_nsec()
            ),
            // One that no other process has.
            Err(_) => format!("mayfly {version} of process {}", std::process::id()),
        }
    })
}

unsafe extern "C" fn on_build_id(into: *mut ByteVector) -> bool {
    let id = build_id().as_bytes();
    // The engine appends a few bytes of its own.
    let capacity = id.len() + 16;
    // SAFETY: the engine passes an empty vector without memory, whose allocation policy is malloc's; the
    // block is large enough for what is copied into it.
    unsafe {
        let begin = libc::malloc(capacity).cast::<u8>();
        if begin.is_null() {
            return false;
        }
        ptr::copy_nonoverlapping(id.as_ptr(), begin, id.len());
        into.write(ByteVector {
            begin,
            length: id.len(),
            capacity,
        });
    }
    true
}

/// Compiles an ES module and gives what [`decode`] takes; `None` if it does not compile, or not to
/// something that can be written down.
pub(crate) fn encode(cx: &mut JSContext, name: &str, source: &str) -> Option<Vec<u8>> {
    let options = options_for(cx, name);
    let mut units = transform_str_to_source_text(source);
    let mut buffer = ByteVector::empty();
    // SAFETY: options and source outlive the call, which copies what it keeps and gives a reference to
    // the stencil, or null; `buffer` is an empty vector. What it then points to are `length` bytes.
    unsafe {
        let stencil = Stencil::from_raw(CompileModuleScriptToStencil(cx, options.ptr, &mut units));
        if stencil.is_null() {
            throw::take_error(cx);
            return None;
        }
        match encode_stencil(cx.raw_cx(), *stencil, &raw mut buffer) {
            TranscodeResult::Ok => {
                Some(slice::from_raw_parts(buffer.begin, buffer.length).to_vec())
            }
            TranscodeResult::Throw => {
                throw::take_error(cx);
                None
            }
            _ => None,
        }
    }
}

/// The module that [`encode`] compiled, of a source of so many bytes; not rooted. `None` if these bytes
/// are nothing that this build would have made of such a source.
pub(crate) fn decode(
    cx: &mut JSContext,
    bytes: Vec<u8>,
    source_units: usize,
) -> Option<*mut JSObject> {
    // For good: what is read borrows from it, and a guest runs one Worker.
    let bytes: &'static [u8] = Box::leak(bytes.into_boxed_slice());
    let range = bytes.as_ptr_range();
    if !(range.start as usize).is_multiple_of(ALIGNMENT) {
        return None;
    }
    let range = ByteRange {
        begin: range.start,
        end: range.end,
    };
    let options = ReadOnlyDecodeOptions {
        borrowBuffer: true,
        usePinnedBytecode: true,
        introducerFilename_: ConstUTF8CharsZ {
            data_: ptr::null::<c_char>(),
        },
        introductionType: ptr::null(),
        introductionLineno: 0,
        introductionOffset: 0,
    };
    let instantiate = InstantiateOptions {
        skipFilenameValidation: false,
        hideScriptFromDebugger: false,
        deferDebugMetadata: false,
        eagerDelazificationStrategy_: DelazificationOption::OnDemandOnly,
        eagerBaselineStrategy_: EagerBaselineOption::None,
    };
    let mut raw = ptr::null_mut();
    // SAFETY: a range is two pointers in a release build of the engine, which is the only one there is;
    // the bytes are aligned and live for ever, which is what borrowing and pinning ask for. Where the
    // result is `Ok` it gave us a reference, which `stencil` gives back.
    unsafe {
        let decoded = DecodeStencil(cx, &options, (&raw const range).cast(), &mut raw);
        if decoded != TranscodeResult::Ok {
            if decoded == TranscodeResult::Throw {
                throw::take_error(cx);
            }
            return None;
        }
        let stencil = Stencil::from_raw(mozjs::jsapi::already_AddRefed {
            _phantom_0: std::marker::PhantomData,
            mRawPtr: raw,
        });
        if source_length(*stencil) != source_units {
            return None;
        }
        let record = InstantiateModuleStencil(cx, &instantiate, *stencil, ptr::null_mut());
        if record.is_null() {
            throw::take_error(cx);
            return None;
        }
        Some(record)
    }
}
