//! The coders behind node:zlib: zlib and gzip with levels, windows and dictionaries, brotli and zstd
//! with their parameters, all with flushes.
//!
//! A write takes one piece of input and a bound on the output; it says how much it read, what came
//! out, and zlib's code. What the codes mean for a stream, and its back-pressure, are the platform's.
//! The formats are the files below `zlib/`. `compress.rs` serves the web's streams, which have none of
//! these.
//!
//! Not here: zlib's strategies and memory levels. The encoder has none, so they are taken and change
//! nothing but the size of what comes out.
//!
//! Invariants: one write yields at most [`ROOM_BYTES_MAX`]; a coder that failed keeps failing.

mod brotli;
mod deflate;
mod zstd;

use flate2::Compress;
use mayfly_engine::data::{Args, Data, OpDecl, OpError, OpResult};

use self::deflate::{Inflater, compression, deflater, write_deflate};
use crate::{HasOps, op};

/// Bytes that one write may yield.
const ROOM_BYTES_MAX: usize = 1024 * 1024;

/// zlib's codes.
const OK: i32 = 0;
const STREAM_END: i32 = 1;
const NEED_DICTIONARY: i32 = 2;
const STREAM_ERROR: i32 = -2;
const DATA_ERROR: i32 = -3;
const BUFFER_ERROR: i32 = -5;

/// The operations of brotli and zstd that are flushes.
const OPERATION_FLUSH: u32 = 1;
const OPERATION_FINISH: u32 = 2;

pub fn declarations<S: HasOps>() -> Vec<OpDecl<S>> {
    vec![
        op("zlibNew", zlib_new::<S>),
        op("zlibWrite", zlib_write::<S>),
        op("zlibReset", zlib_reset::<S>),
        op("zlibLevel", zlib_level::<S>),
        op("zlibFree", zlib_free::<S>),
        op("zlibCrc32", zlib_crc32::<S>),
    ]
}

/// `(kind, numbers, dictionary)`: numbers are `[windowBits, level]` for zlib's kinds, parameters and
/// their values in turn for the others.
fn zlib_new<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let kind = args.string(0)?;
    let numbers = numbers_of(args.take(1));
    let dictionary = match args.take(2) {
        Data::Bytes(bytes) => Some(bytes),
        _ => None,
    };
    let settings = Settings {
        kind,
        numbers,
        dictionary,
    };
    let coder = Coder::new(&settings)?;
    state.ops().zlib.insert(Stream { settings, coder })
}

fn zlib_write<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let (handle, flush, input, room) = (args.u32(0)?, args.u32(1)?, args.bytes(2)?, args.u32(3)?);
    let room = usize::try_from(room)
        .unwrap_or(ROOM_BYTES_MAX)
        .clamp(1, ROOM_BYTES_MAX);
    let stream = state.ops().zlib.get(handle)?;
    let done = stream.coder.write(&stream.settings, &input, flush, room);
    Ok(Data::List(vec![
        Data::Number(done.read as f64),
        Data::Bytes(done.output),
        Data::Number(f64::from(done.code)),
        Data::String(done.message),
    ]))
}

fn zlib_reset<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let stream = state.ops().zlib.get(args.u32(0)?)?;
    stream.coder = Coder::new(&stream.settings)?;
    Ok(Data::Undefined)
}

/// Asks for another level from here on. The encoder cannot always change in the middle of a stream; it
/// then goes on as before, and what comes out is as good.
fn zlib_level<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let (handle, level) = (args.u32(0)?, args.number(1)?);
    let stream = state.ops().zlib.get(handle)?;
    if let Some(place) = stream.settings.numbers.get_mut(1) {
        *place = level;
    }
    if let Coder::Deflate(deflate) = &mut stream.coder {
        let _ = deflate.set_level(compression(level));
    }
    Ok(Data::Undefined)
}

fn zlib_free<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    state.ops().zlib.remove(args.u32(0)?);
    Ok(Data::Undefined)
}

fn zlib_crc32<S: HasOps>(_state: &mut S, args: &mut Args) -> OpResult {
    let (bytes, start) = (args.bytes(0)?, args.u32(1)?);
    Ok(Data::Number(f64::from(crc32(&bytes, start))))
}

/// The sum of each single byte.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut index = 0;
    while index < 256 {
        let mut sum = index as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 {
                (sum >> 1) ^ 0xedb8_8320
            } else {
                sum >> 1
            };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
};

/// CRC-32 of `bytes` after others whose sum is `start`.
fn crc32(bytes: &[u8], start: u32) -> u32 {
    !bytes.iter().fold(!start, |sum, byte| {
        CRC_TABLE[((sum ^ u32::from(*byte)) & 0xff) as usize] ^ (sum >> 8)
    })
}

fn numbers_of(data: Data) -> Vec<f64> {
    let Data::List(items) = data else {
        return Vec::new();
    };
    items
        .into_iter()
        .map(|item| match item {
            Data::Number(number) => number,
            _ => -1.0,
        })
        .collect()
}

/// What a stream was made with; a reset makes its coder again.
#[derive(Debug)]
struct Settings {
    kind: String,
    numbers: Vec<f64>,
    dictionary: Option<Vec<u8>>,
}

impl Settings {
    fn window_bits(&self) -> u8 {
        let bits = self.numbers.first().copied().unwrap_or(15.0);
        // Zero means "as the header says", which the largest window can read. Raw deflate with a
        // window of 256 bytes is what zlib itself cannot do: it takes the next size.
        if bits < 9.0 {
            if bits <= 0.0 { 15 } else { 9 }
        } else {
            (bits as u8).min(15)
        }
    }

    fn level(&self) -> f64 {
        self.numbers.get(1).copied().unwrap_or(-1.0)
    }

    fn pairs(&self) -> impl Iterator<Item = (u32, f64)> {
        self.numbers
            .chunks_exact(2)
            .filter_map(|pair| Some((*pair.first()? as u32, *pair.get(1)?)))
    }
}

#[derive(Debug)]
pub struct Stream {
    settings: Settings,
    coder: Coder,
}

/// What one write did.
struct Done {
    read: usize,
    output: Vec<u8>,
    code: i32,
    message: String,
}

impl Done {
    fn failed(code: i32, message: impl Into<String>) -> Self {
        Self {
            read: 0,
            output: Vec::new(),
            code,
            message: message.into(),
        }
    }
}

enum Coder {
    Deflate(Compress),
    Inflate(Inflater),
    BrotliEncode(brotli::Encoder),
    BrotliDecode(Box<brotli::Decoder>),
    ZstdEncode(zstd::Encoder),
    ZstdDecode(zstd::Decoder),
    Failed(i32, String),
}

impl std::fmt::Debug for Coder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Coder")
    }
}

impl Coder {
    fn new(settings: &Settings) -> Result<Self, OpError> {
        Ok(match settings.kind.as_str() {
            "deflate" | "gzip" | "deflateRaw" => Self::Deflate(deflater(settings)?),
            "inflate" | "gunzip" | "inflateRaw" | "unzip" => Self::Inflate(Inflater::new(settings)),
            "brotliCompress" => Self::BrotliEncode(brotli::Encoder::new(settings)),
            "brotliDecompress" => Self::BrotliDecode(brotli::decoder()),
            "zstdCompress" => Self::ZstdEncode(zstd::encoder(settings)?),
            "zstdDecompress" => Self::ZstdDecode(zstd::decoder(settings)?),
            other => {
                return Err(OpError::type_error(format!("\"{other}\" is no zlib coder")));
            }
        })
    }

    fn write(&mut self, settings: &Settings, input: &[u8], flush: u32, room: usize) -> Done {
        let done = match self {
            Self::Deflate(deflate) => write_deflate(deflate, input, flush, room),
            Self::Inflate(inflater) => inflater.write(settings, input, flush, room),
            Self::BrotliEncode(encoder) => encoder.write(input, flush, room),
            Self::BrotliDecode(state) => brotli::decode(state, input, room),
            Self::ZstdEncode(encoder) => zstd::encode(encoder, input, flush, room),
            Self::ZstdDecode(decoder) => zstd::decode(decoder, input, room),
            Self::Failed(code, message) => return Done::failed(*code, message.clone()),
        };
        if done.code < OK && done.code != BUFFER_ERROR {
            *self = Self::Failed(done.code, done.message.clone());
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::deflate::{FLUSH_FINISH, FLUSH_SYNC};
    use super::*;

    fn stream(kind: &str, numbers: &[f64], dictionary: Option<&[u8]>) -> Stream {
        let settings = Settings {
            kind: kind.to_owned(),
            numbers: numbers.to_vec(),
            dictionary: dictionary.map(<[u8]>::to_vec),
        };
        let coder = Coder::new(&settings).unwrap();
        Stream { settings, coder }
    }

    /// Everything that a stream gives for `input`, with little room at a time.
    fn run(kind: &str, numbers: &[f64], dictionary: Option<&[u8]>, input: &[u8]) -> Vec<u8> {
        let mut stream = stream(kind, numbers, dictionary);
        let finish = if kind.starts_with("br") || kind.starts_with("zs") {
            OPERATION_FINISH
        } else {
            FLUSH_FINISH
        };
        let (mut rest, mut all) = (input, Vec::new());
        for _ in 0..100_000 {
            let Stream { settings, coder } = &mut stream;
            let done = coder.write(settings, rest, finish, 100);
            assert!(
                done.code >= OK || done.code == BUFFER_ERROR,
                "{kind}: {}",
                done.message
            );
            rest = &rest[done.read..];
            let is_through = done.output.len() < 100;
            all.extend(done.output);
            if is_through && rest.is_empty() {
                return all;
            }
        }
        panic!("{kind} does not end");
    }

    fn text() -> Vec<u8> {
        (0..20_000u32)
            .flat_map(|n| n.to_string().into_bytes())
            .collect()
    }

    #[test]
    fn what_one_coder_writes_the_other_reads() {
        for (encode, decode) in [
            ("deflate", "inflate"),
            ("deflate", "unzip"),
            ("gzip", "gunzip"),
            ("gzip", "unzip"),
            ("deflateRaw", "inflateRaw"),
            ("brotliCompress", "brotliDecompress"),
            ("zstdCompress", "zstdDecompress"),
        ] {
            let numbers = if encode.contains("Compress") {
                &[][..]
            } else {
                &[12.0, 9.0][..]
            };
            let packed = run(encode, numbers, None, &text());
            assert!(packed.len() < text().len() / 2, "{encode}");
            let numbers = if encode.contains("Compress") {
                &[][..]
            } else {
                &[15.0][..]
            };
            assert_eq!(run(decode, numbers, None, &packed), text(), "{decode}");
        }
    }

    #[test]
    fn members_of_a_gzip_file_are_one_text_and_filler_is_skipped() {
        let mut packed = run("gzip", &[], None, b"abc");
        packed.extend(run("gzip", &[], None, b"def"));
        assert_eq!(run("gunzip", &[], None, &packed), b"abcdef");
        let mut stream = stream("gunzip", &[], None);
        packed.extend([0; 10]);
        let Stream { settings, coder } = &mut stream;
        let done = coder.write(settings, &packed, FLUSH_FINISH, 100);
        assert_eq!(
            (done.output.as_slice(), done.code),
            (&b"abcdef"[..], STREAM_END)
        );
    }

    #[test]
    fn a_dictionary_is_asked_for_and_must_be_the_right_one() {
        let packed = run("deflate", &[], Some(b"needle haystack"), b"haystack needle");
        assert_eq!(
            run("inflate", &[], Some(b"needle haystack"), &packed),
            b"haystack needle"
        );
        for dictionary in [None, Some(&b"other"[..])] {
            let mut stream = stream("inflate", &[], dictionary);
            let Stream { settings, coder } = &mut stream;
            let done = coder.write(settings, &packed, FLUSH_FINISH, 100);
            assert_eq!(done.code, NEED_DICTIONARY);
        }
        let raw = run("deflateRaw", &[], Some(b"abc"), b"abcabc");
        assert_eq!(run("inflateRaw", &[], Some(b"abc"), &raw), b"abcabc");
    }

    #[test]
    fn malformed_input_has_zlibs_words() {
        for (kind, message) in [
            ("inflate", "incorrect header check"),
            ("gunzip", "incorrect header check"),
            ("inflateRaw", "invalid block type"),
        ] {
            let mut stream = stream(kind, &[], None);
            let Stream { settings, coder } = &mut stream;
            let done = coder.write(settings, &[0xff; 20], FLUSH_FINISH, 100);
            assert_eq!(
                (done.code, done.message.as_str()),
                (DATA_ERROR, message),
                "{kind}"
            );
            assert_eq!(coder.write(settings, &[], 0, 100).code, DATA_ERROR, "again");
        }
    }

    #[test]
    fn a_flush_gives_all_that_went_in() {
        for (encode, decode, flush) in [
            ("deflate", "inflate", FLUSH_SYNC),
            ("brotliCompress", "brotliDecompress", OPERATION_FLUSH),
            ("zstdCompress", "zstdDecompress", OPERATION_FLUSH),
        ] {
            let mut out = stream(encode, &[], None);
            let packed = out
                .coder
                .write(&out.settings, b"so far", flush, 1000)
                .output;
            let mut back = stream(decode, &[], None);
            let done = back.coder.write(&back.settings, &packed, 0, 1000);
            assert_eq!(done.output, b"so far", "{encode}");
        }
    }

    #[test]
    fn crc_goes_on_where_it_stopped() {
        assert_eq!(crc32(b"hello world", 0), 0x0d4a_1185);
        assert_eq!(crc32(b" world", crc32(b"hello", 0)), 0x0d4a_1185);
    }
}
