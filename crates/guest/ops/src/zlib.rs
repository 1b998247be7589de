//! The coders behind node:zlib: zlib and gzip with levels, windows and dictionaries, brotli and zstd
//! with their parameters, all with flushes.
//!
//! A write takes one piece of input and a bound on the output; it says how much it read, what came
//! out, and zlib's code. What the codes mean for a stream, and its back-pressure, are the platform's.
//! `compress.rs` serves the web's streams, which have none of these.
//!
//! Not here: zlib's strategies and memory levels. The encoder has none, so they are taken and change
//! nothing but the size of what comes out.
//!
//! Invariants: one write yields at most [`ROOM_BYTES_MAX`]; a coder that failed keeps failing.

use std::io::Write;

use brotli::enc::BrotliEncoderParams;
use brotli::enc::StandardAlloc;
use brotli::enc::backward_references::BrotliEncoderMode;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState, CompressorWriter};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use mayfly_engine::data::{Args, Data, OpDecl, OpError, OpResult};
use zstd::stream::raw::{CParameter, DParameter, InBuffer, Operation, OutBuffer};

use crate::{HasOps, op, range_error};

/// Bytes that one write may yield.
const ROOM_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that a brotli encoder collects before it hands them on.
const STEP_BYTES: usize = 64 * 1024;

/// zlib's codes.
const OK: i32 = 0;
const STREAM_END: i32 = 1;
const NEED_DICTIONARY: i32 = 2;
const STREAM_ERROR: i32 = -2;
const DATA_ERROR: i32 = -3;
const BUFFER_ERROR: i32 = -5;

/// zlib's flushes, and what brotli and zstd call theirs.
const FLUSH_PARTIAL: u32 = 1;
const FLUSH_SYNC: u32 = 2;
const FLUSH_FULL: u32 = 3;
const FLUSH_FINISH: u32 = 4;
const OPERATION_FLUSH: u32 = 1;
const OPERATION_FINISH: u32 = 2;

/// The first bytes of a gzip member.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

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

fn compression(level: f64) -> Compression {
    if (0.0..=9.0).contains(&level) {
        Compression::new(level as u32)
    } else {
        Compression::default()
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
    BrotliEncode(BrotliEncoder),
    /// Boxed: its state is several kilobytes.
    BrotliDecode(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    ZstdEncode(zstd::stream::raw::Encoder<'static>),
    ZstdDecode(zstd::stream::raw::Decoder<'static>),
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
            "brotliCompress" => Self::BrotliEncode(BrotliEncoder::new(settings)),
            "brotliDecompress" => Self::BrotliDecode(Box::new(BrotliState::new(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))),
            "zstdCompress" => Self::ZstdEncode(zstd_encoder(settings)?),
            "zstdDecompress" => Self::ZstdDecode(zstd_decoder(settings)?),
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
            Self::BrotliDecode(state) => write_brotli_decode(state, input, room),
            Self::ZstdEncode(encoder) => write_zstd_encode(encoder, input, flush, room),
            Self::ZstdDecode(decoder) => write_zstd_decode(decoder, input, room),
            Self::Failed(code, message) => return Done::failed(*code, message.clone()),
        };
        if done.code < OK && done.code != BUFFER_ERROR {
            *self = Self::Failed(done.code, done.message.clone());
        }
        done
    }
}

// ---- zlib ----------------------------------------------------------------------------------------

fn deflater(settings: &Settings) -> Result<Compress, OpError> {
    let (level, bits) = (compression(settings.level()), settings.window_bits());
    let mut made = match settings.kind.as_str() {
        "gzip" => Compress::new_gzip(level, bits),
        "deflate" => Compress::new_with_window_bits(level, true, bits),
        _ => Compress::new_with_window_bits(level, false, bits),
    };
    if let Some(dictionary) = &settings.dictionary
        && settings.kind != "gzip"
    {
        made.set_dictionary(dictionary)
            .map_err(|_| range_error("Failed to set dictionary".to_owned()))?;
    }
    Ok(made)
}

fn write_deflate(deflate: &mut Compress, input: &[u8], flush: u32, room: usize) -> Done {
    let flush = match flush {
        FLUSH_PARTIAL => FlushCompress::Partial,
        FLUSH_SYNC => FlushCompress::Sync,
        FLUSH_FULL => FlushCompress::Full,
        FLUSH_FINISH => FlushCompress::Finish,
        _ => FlushCompress::None,
    };
    let mut output = vec![0; room];
    let (before_in, before_out) = (deflate.total_in(), deflate.total_out());
    let result = deflate.compress(input, &mut output, flush);
    let read = usize_of(deflate.total_in() - before_in);
    output.truncate(usize_of(deflate.total_out() - before_out));
    let (code, message) = match result {
        Ok(status) => (code_of(status), String::new()),
        Err(error) => (STREAM_ERROR, error.message().unwrap_or("").to_owned()),
    };
    Done {
        read,
        output,
        code,
        message,
    }
}

/// One inflater, which for `unzip` waits for the first bytes to say what they are.
struct Inflater {
    inner: Option<Decompress>,
    is_gzip: bool,
    /// First bytes of input to `unzip` that do not say yet what it is.
    held: Vec<u8>,
}

impl Inflater {
    fn new(settings: &Settings) -> Self {
        let (kind, bits) = (settings.kind.as_str(), settings.window_bits());
        let mut inner = match kind {
            "unzip" => None,
            "gunzip" => Some(Decompress::new_gzip(bits)),
            "inflate" => Some(Decompress::new_with_window_bits(true, bits)),
            _ => Some(Decompress::new_with_window_bits(false, bits)),
        };
        if kind == "inflateRaw"
            && let (Some(inner), Some(dictionary)) = (&mut inner, &settings.dictionary)
        {
            // Raw data does not say that it wants one.
            let _ = inner.set_dictionary(dictionary);
        }
        Self {
            inner,
            is_gzip: kind == "gunzip",
            held: Vec::new(),
        }
    }

    fn write(&mut self, settings: &Settings, input: &[u8], flush: u32, room: usize) -> Done {
        if self.inner.is_none() {
            return self.begin(settings, input, flush, room);
        }
        let mut done = Done {
            read: 0,
            output: vec![0; room],
            code: OK,
            message: String::new(),
        };
        let mut written = 0;
        loop {
            self.step(settings, input, flush, &mut done, &mut written);
            let more = input.get(done.read).copied();
            // Members of a gzip file follow each other; zeros behind the last one are filler.
            if done.code == STREAM_END && self.is_gzip && more.is_some_and(|byte| byte != 0) {
                self.inner = Some(Decompress::new_gzip(settings.window_bits()));
                done.code = OK;
                continue;
            }
            break;
        }
        done.output.truncate(written);
        done
    }

    /// Tells gzip from zlib by its first two bytes.
    fn begin(&mut self, settings: &Settings, input: &[u8], flush: u32, room: usize) -> Done {
        let before = self.held.len();
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(input);
        let is_start = all
            .iter()
            .zip(GZIP_MAGIC)
            .all(|(byte, magic)| *byte == magic);
        if is_start && all.len() < GZIP_MAGIC.len() && flush != FLUSH_FINISH {
            self.held = all;
            return Done {
                read: input.len(),
                output: Vec::new(),
                code: OK,
                message: String::new(),
            };
        }
        self.is_gzip = is_start && !all.is_empty();
        let bits = settings.window_bits();
        self.inner = Some(if self.is_gzip {
            Decompress::new_gzip(bits)
        } else {
            Decompress::new_with_window_bits(true, bits)
        });
        let mut done = self.write(settings, &all, flush, room);
        // What was held came with an earlier write.
        done.read = done.read.saturating_sub(before);
        done
    }

    fn step(
        &mut self,
        settings: &Settings,
        input: &[u8],
        flush: u32,
        done: &mut Done,
        written: &mut usize,
    ) {
        let Some(inner) = &mut self.inner else {
            return;
        };
        let flush = match flush {
            FLUSH_FINISH => FlushDecompress::Finish,
            FLUSH_SYNC => FlushDecompress::Sync,
            _ => FlushDecompress::None,
        };
        for attempt in 0..2 {
            let (before_in, before_out) = (inner.total_in(), inner.total_out());
            let rest = input.get(done.read..).unwrap_or_default();
            let space = done.output.get_mut(*written..).unwrap_or_default();
            let result = inner.decompress(rest, space, flush);
            done.read += usize_of(inner.total_in() - before_in);
            *written += usize_of(inner.total_out() - before_out);
            match result {
                Ok(status) => {
                    done.code = code_of(status);
                    return;
                }
                Err(error) if error.needs_dictionary().is_some() => {
                    done.code = NEED_DICTIONARY;
                    let Some(dictionary) = settings.dictionary.as_ref().filter(|_| attempt == 0)
                    else {
                        return;
                    };
                    if inner.set_dictionary(dictionary).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    done.code = DATA_ERROR;
                    error.message().unwrap_or("").clone_into(&mut done.message);
                    return;
                }
            }
        }
    }
}

fn code_of(status: Status) -> i32 {
    match status {
        Status::Ok => OK,
        Status::StreamEnd => STREAM_END,
        Status::BufError => BUFFER_ERROR,
    }
}

// ---- brotli --------------------------------------------------------------------------------------

struct BrotliEncoder {
    /// `None` once it has ended.
    writer: Option<Box<CompressorWriter<Vec<u8>>>>,
    /// What came out and nobody had room for.
    ready: Vec<u8>,
}

impl BrotliEncoder {
    fn new(settings: &Settings) -> Self {
        let mut params = BrotliEncoderParams::default();
        for (name, value) in settings.pairs() {
            let value = value as i32;
            match name {
                0 => {
                    params.mode = match value {
                        1 => BrotliEncoderMode::BROTLI_MODE_TEXT,
                        2 => BrotliEncoderMode::BROTLI_MODE_FONT,
                        _ => BrotliEncoderMode::BROTLI_MODE_GENERIC,
                    };
                }
                1 => params.quality = value.clamp(0, 11),
                2 => params.lgwin = value.clamp(10, 24),
                3 => params.lgblock = value,
                4 => params.disable_literal_context_modeling = value,
                5 => params.size_hint = usize::try_from(value).unwrap_or(0),
                _ => {}
            }
        }
        let writer = CompressorWriter::with_params(Vec::new(), STEP_BYTES, &params);
        Self {
            writer: Some(Box::new(writer)),
            ready: Vec::new(),
        }
    }

    fn write(&mut self, input: &[u8], flush: u32, room: usize) -> Done {
        let result = self.feed(input, flush);
        let count = self.ready.len().min(room);
        let output = self.ready.drain(..count).collect();
        let code = if result.is_ok() { OK } else { DATA_ERROR };
        Done {
            read: input.len(),
            output,
            code,
            message: result.err().unwrap_or_default(),
        }
    }

    fn feed(&mut self, input: &[u8], flush: u32) -> Result<(), String> {
        let Some(writer) = &mut self.writer else {
            return if input.is_empty() {
                Ok(())
            } else {
                Err("Compression failed".to_owned())
            };
        };
        let failed = |_| "Compression failed".to_owned();
        writer.write_all(input).map_err(failed)?;
        if flush == OPERATION_FINISH {
            if let Some(writer) = self.writer.take() {
                self.ready.append(&mut writer.into_inner());
            }
            return Ok(());
        }
        // A flush with nothing new would put an empty block into the output each time.
        if flush == OPERATION_FLUSH && (!input.is_empty() || self.ready.is_empty()) {
            writer.flush().map_err(failed)?;
        }
        self.ready.append(writer.get_mut());
        Ok(())
    }
}

fn write_brotli_decode(
    state: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    input: &[u8],
    room: usize,
) -> Done {
    let mut output = vec![0; room];
    let (mut left, mut read) = (input.len(), 0);
    let (mut space, mut end, mut total) = (room, 0, 0);
    let result = BrotliDecompressStream(
        &mut left,
        &mut read,
        input,
        &mut space,
        &mut end,
        &mut output,
        &mut total,
        state,
    );
    output.truncate(end);
    let (code, message) = match result {
        BrotliResult::ResultSuccess => (STREAM_END, String::new()),
        BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => (OK, String::new()),
        BrotliResult::ResultFailure => (
            DATA_ERROR,
            format!("{:?}", state.error_code).replace("BROTLI_DECODER_", ""),
        ),
    };
    Done {
        read,
        output,
        code,
        message,
    }
}

// ---- zstd ----------------------------------------------------------------------------------------

fn zstd_encoder(settings: &Settings) -> Result<zstd::stream::raw::Encoder<'static>, OpError> {
    let level = settings
        .pairs()
        .find(|(name, _)| *name == 100)
        .map_or(3, |(_, value)| value as i32);
    let dictionary = settings.dictionary.as_deref().unwrap_or_default();
    let mut encoder =
        zstd::stream::raw::Encoder::with_dictionary(level, dictionary).map_err(unable)?;
    for (name, value) in settings.pairs() {
        let (count, is_on) = (value as u32, value != 0.0);
        let parameter = match name {
            101 => CParameter::WindowLog(count),
            102 => CParameter::HashLog(count),
            103 => CParameter::ChainLog(count),
            104 => CParameter::SearchLog(count),
            105 => CParameter::MinMatch(count),
            106 => CParameter::TargetLength(count),
            160 => CParameter::EnableLongDistanceMatching(is_on),
            161 => CParameter::LdmHashLog(count),
            162 => CParameter::LdmMinMatch(count),
            163 => CParameter::LdmBucketSizeLog(count),
            164 => CParameter::LdmHashRateLog(count),
            200 => CParameter::ContentSizeFlag(is_on),
            201 => CParameter::ChecksumFlag(is_on),
            202 => CParameter::DictIdFlag(is_on),
            _ => continue,
        };
        encoder.set_parameter(parameter).map_err(unable)?;
    }
    Ok(encoder)
}

fn zstd_decoder(settings: &Settings) -> Result<zstd::stream::raw::Decoder<'static>, OpError> {
    let dictionary = settings.dictionary.as_deref().unwrap_or_default();
    let mut decoder = zstd::stream::raw::Decoder::with_dictionary(dictionary).map_err(unable)?;
    for (name, value) in settings.pairs() {
        if name == 100 {
            let parameter = DParameter::WindowLogMax(value as u32);
            decoder.set_parameter(parameter).map_err(unable)?;
        }
    }
    Ok(decoder)
}

fn write_zstd_encode(
    encoder: &mut zstd::stream::raw::Encoder<'static>,
    input: &[u8],
    flush: u32,
    room: usize,
) -> Done {
    let mut output = Vec::with_capacity(room);
    let mut source = InBuffer::around(input);
    let mut result = Ok(0);
    {
        let mut target = OutBuffer::around(&mut output);
        while source.pos() < input.len() && target.pos() < room && result.is_ok() {
            result = encoder.run(&mut source, &mut target);
        }
        if result.is_ok() && source.pos() == input.len() && target.pos() < room {
            match flush {
                OPERATION_FLUSH => result = encoder.flush(&mut target),
                OPERATION_FINISH => result = encoder.finish(&mut target, true),
                _ => {}
            }
        }
    }
    let (code, message) = match result {
        Ok(0) if flush == OPERATION_FINISH && source.pos() == input.len() => {
            (STREAM_END, String::new())
        }
        Ok(_) => (OK, String::new()),
        Err(error) => (DATA_ERROR, error.to_string()),
    };
    Done {
        read: source.pos(),
        output,
        code,
        message,
    }
}

fn write_zstd_decode(
    decoder: &mut zstd::stream::raw::Decoder<'static>,
    input: &[u8],
    room: usize,
) -> Done {
    let mut output = Vec::with_capacity(room);
    let mut source = InBuffer::around(input);
    let result = {
        let mut target = OutBuffer::around(&mut output);
        decoder.run(&mut source, &mut target)
    };
    let (code, message) = match result {
        Ok(0) => (STREAM_END, String::new()),
        Ok(_) => (OK, String::new()),
        Err(error) => (DATA_ERROR, error.to_string()),
    };
    Done {
        read: source.pos(),
        output,
        code,
        message,
    }
}

/// Counts of bytes in memory fit; a count that does not can only be wrong, and reads as all.
fn usize_of(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn unable(error: impl std::fmt::Display) -> OpError {
    range_error(format!("Initialization failed: {error}"))
}

#[cfg(test)]
mod tests {
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
