//! Streaming compression and decompression: gzip, deflate, deflate-raw, brotli, zstd.
//!
//! One push takes bytes in and gives what came out so far. The streams, their back-pressure and
//! when an error is shown are the platform's.
//!
//! Invariants: one push yields at most [`OUTPUT_BYTES_MAX`], so a small bomb cannot fill memory
//! unasked; a coder that failed keeps failing.

use std::io::Write;

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState, CompressorWriter};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use mayfly_engine::data::{Args, Data, OpDecl, OpError, OpResult};
use zstd::stream::raw::{InBuffer, Operation, OutBuffer};

use crate::{HasOps, op, range_error};

/// Bytes that one push may yield. Deflate expands by at most 1,032, so the platform cuts what it
/// decompresses into pieces of 16 KiB or less and never meets this bound with an honest input.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How much room the output grows by.
const STEP_BYTES: usize = 64 * 1024;

/// zlib's window: the largest, as every encoder and decoder on the web uses.
const WINDOW_BITS: u8 = 15;

/// Brotli's window for what we compress, 4 MiB: the default of the reference encoder.
const BROTLI_WINDOW_BITS: u32 = 22;

/// Levels where the caller has no wish. Zlib's and zstd's are their libraries' own; brotli's
/// is the highest that still compresses faster than a network takes it.
const ZLIB_LEVEL: u32 = 6;
const BROTLI_LEVEL: u32 = 5;
const ZSTD_LEVEL: i32 = 3;

pub fn declarations<S: HasOps>() -> Vec<OpDecl<S>> {
    vec![
        op("compressNew", compress_new::<S>),
        op("decompressNew", decompress_new::<S>),
        op("compressPush", compress_push::<S>),
        op("compressFree", compress_free::<S>),
    ]
}

fn compress_new<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let (format, level) = (args.string(0)?, args.number(1)?);
    let encoder = Encoder::new(&format, level)?;
    state.ops().coders.insert(Coder::Encode(encoder))
}

fn decompress_new<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let format = args.string(0)?;
    let ends = match args.take(1) {
        Data::Bool(true) => Ends::Loose,
        _ => Ends::Strict,
    };
    let decoder = Decoder {
        inner: DecoderKind::new(&format)?,
        format,
        ends,
        phase: Phase::Running,
    };
    state.ops().coders.insert(Coder::Decode(decoder))
}

fn compress_push<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let (handle, bytes, last) = (args.u32(0)?, args.bytes(1)?, args.bool(2)?);
    let output = match state.ops().coders.get(handle)? {
        Coder::Encode(encoder) => encoder.push(&bytes, last),
        Coder::Decode(decoder) => decoder.push(&bytes, last),
    };
    output.map(Data::Bytes)
}

fn compress_free<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    state.ops().coders.remove(args.u32(0)?);
    Ok(Data::Undefined)
}

/// What a handle stands for.
#[derive(Debug)]
pub enum Coder {
    Encode(Encoder),
    Decode(Decoder),
}

pub enum Encoder {
    Zlib(Compress),
    /// Boxed: its state is several kilobytes. `None` once it has ended.
    Brotli(Option<Box<CompressorWriter<Vec<u8>>>>),
    Zstd(zstd::stream::raw::Encoder<'static>),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoder")
    }
}

impl Encoder {
    fn new(format: &str, level: f64) -> Result<Self, OpError> {
        let zlib_level = Compression::new(pick_level(level, 9, ZLIB_LEVEL));
        Ok(match format {
            "gzip" => Self::Zlib(Compress::new_gzip(zlib_level, WINDOW_BITS)),
            "deflate" => Self::Zlib(Compress::new(zlib_level, true)),
            "deflate-raw" => Self::Zlib(Compress::new(zlib_level, false)),
            "br" => {
                let level = pick_level(level, 11, BROTLI_LEVEL);
                let sink = Vec::new();
                let writer = CompressorWriter::new(sink, STEP_BYTES, level, BROTLI_WINDOW_BITS);
                Self::Brotli(Some(Box::new(writer)))
            }
            "zstd" => {
                let level = pick_level(level, 22, ZSTD_LEVEL.unsigned_abs());
                let level = i32::try_from(level).unwrap_or(ZSTD_LEVEL);
                Self::Zstd(zstd::stream::raw::Encoder::new(level).map_err(unable)?)
            }
            other => return Err(unknown_format(other)),
        })
    }

    fn push(&mut self, input: &[u8], last: bool) -> Result<Vec<u8>, OpError> {
        match self {
            Self::Zlib(stream) => push_zlib(stream, input, last),
            Self::Brotli(writer) => push_brotli(writer, input, last),
            Self::Zstd(stream) => push_zstd(stream, input, last),
        }
    }
}

/// A level of the caller's within 0..=`highest`; negative or not a number is `default`.
fn pick_level(level: f64, highest: u32, default: u32) -> u32 {
    if level >= 0.0 {
        // The cast saturates.
        (level as u32).min(highest)
    } else {
        default
    }
}

fn push_zlib(stream: &mut Compress, input: &[u8], last: bool) -> Result<Vec<u8>, OpError> {
    let flush = if last {
        FlushCompress::Finish
    } else {
        FlushCompress::None
    };
    let mut output = Vec::new();
    let start = stream.total_in();
    loop {
        make_room(&mut output)?;
        let read = usize_of(stream.total_in() - start);
        let status = stream
            .compress_vec(&input[read..], &mut output, flush)
            .map_err(unable)?;
        let all_read = usize_of(stream.total_in() - start) == input.len();
        let full = output.len() == output.capacity();
        match status {
            Status::StreamEnd => return Ok(output),
            Status::Ok | Status::BufError if last || full || !all_read => {}
            Status::Ok | Status::BufError => return Ok(output),
        }
    }
}

fn push_brotli(
    writer: &mut Option<Box<CompressorWriter<Vec<u8>>>>,
    input: &[u8],
    last: bool,
) -> Result<Vec<u8>, OpError> {
    let open = writer.as_mut().ok_or_else(ended)?;
    open.write_all(input).map_err(unable)?;
    if !last {
        return Ok(std::mem::take(open.get_mut()));
    }
    let open = writer.take().ok_or_else(ended)?;
    Ok(open.into_inner())
}

fn push_zstd(
    stream: &mut zstd::stream::raw::Encoder<'static>,
    input: &[u8],
    last: bool,
) -> Result<Vec<u8>, OpError> {
    let mut output = Vec::new();
    let mut source = InBuffer::around(input);
    while source.pos() < input.len() {
        make_room(&mut output)?;
        let written = output.len();
        let mut target = OutBuffer::around_pos(&mut output, written);
        stream.run(&mut source, &mut target).map_err(unable)?;
    }
    let mut left = usize::from(last);
    while left > 0 {
        make_room(&mut output)?;
        let written = output.len();
        let mut target = OutBuffer::around_pos(&mut output, written);
        left = stream.finish(&mut target, true).map_err(unable)?;
    }
    Ok(output)
}

/// What a decoder makes of bytes after the end, and of an end before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// Both are errors: the Compression Standard.
    Strict,
    /// Both are let pass: Workers without the flag `strict_compression_checks`.
    Loose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// The format's own end was read.
    Ended,
    Failed,
}

pub struct Decoder {
    inner: DecoderKind,
    format: String,
    ends: Ends,
    phase: Phase,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("format", &self.format)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    fn push(&mut self, input: &[u8], last: bool) -> Result<Vec<u8>, OpError> {
        if self.phase == Phase::Failed {
            return Err(self.malformed("the data is not valid"));
        }
        let result = self.run(input, last);
        if result.is_err() {
            self.phase = Phase::Failed;
        }
        result
    }

    fn run(&mut self, input: &[u8], last: bool) -> Result<Vec<u8>, OpError> {
        let mut output = Vec::new();
        let mut read = 0;
        while self.phase == Phase::Running {
            make_room(&mut output)?;
            let step = self
                .inner
                .step(&input[read..], &mut output)
                .map_err(|()| self.malformed("the data is not valid"))?;
            read += step.read;
            match step.then {
                Then::End => self.phase = Phase::Ended,
                Then::MoreInput => break,
                Then::MoreRoom => {}
            }
        }
        if self.ends == Ends::Strict {
            self.check_ends(read < input.len(), last)?;
        }
        Ok(output)
    }

    fn check_ends(&self, extra: bool, last: bool) -> Result<(), OpError> {
        if extra {
            return Err(self.malformed("there are bytes after its end"));
        }
        if last && self.phase != Phase::Ended {
            return Err(self.malformed("it ends too early"));
        }
        Ok(())
    }

    fn malformed(&self, what: &str) -> OpError {
        OpError::type_error(format!("{} decompression failed: {what}", self.format))
    }
}

enum DecoderKind {
    Zlib(Decompress),
    /// Boxed: its state is several kilobytes.
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(zstd::stream::raw::Decoder<'static>),
}

/// What one step of a decoder did and what it waits for.
struct Step {
    read: usize,
    then: Then,
}

enum Then {
    End,
    MoreInput,
    MoreRoom,
}

impl DecoderKind {
    fn new(format: &str) -> Result<Self, OpError> {
        Ok(match format {
            "gzip" => Self::Zlib(Decompress::new_gzip(WINDOW_BITS)),
            "deflate" => Self::Zlib(Decompress::new(true)),
            "deflate-raw" => Self::Zlib(Decompress::new(false)),
            // Strict: no windows beyond 16 MiB, which only a decoder that opted in may meet.
            "br" => Self::Brotli(Box::new(BrotliState::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))),
            "zstd" => Self::Zstd(zstd::stream::raw::Decoder::new().map_err(unable)?),
            other => return Err(unknown_format(other)),
        })
    }

    /// Decodes into the spare capacity of `output`.
    fn step(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<Step, ()> {
        match self {
            Self::Zlib(stream) => step_zlib(stream, input, output),
            Self::Brotli(state) => step_brotli(state, input, output),
            Self::Zstd(stream) => step_zstd(stream, input, output),
        }
    }
}

fn step_zlib(stream: &mut Decompress, input: &[u8], output: &mut Vec<u8>) -> Result<Step, ()> {
    let start = stream.total_in();
    let status = stream
        .decompress_vec(input, output, FlushDecompress::None)
        .map_err(|_| ())?;
    let read = usize_of(stream.total_in() - start);
    let then = match status {
        Status::StreamEnd => Then::End,
        Status::Ok | Status::BufError => wants(output),
    };
    Ok(Step { read, then })
}

fn step_brotli(
    state: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    input: &[u8],
    output: &mut Vec<u8>,
) -> Result<Step, ()> {
    let written = output.len();
    output.resize(output.capacity(), 0);
    let (mut left, mut read) = (input.len(), 0);
    let (mut room, mut end) = (output.len() - written, written);
    let mut total = 0;
    let result = BrotliDecompressStream(
        &mut left, &mut read, input, &mut room, &mut end, output, &mut total, state,
    );
    output.truncate(end);
    let then = match result {
        BrotliResult::ResultSuccess => Then::End,
        BrotliResult::NeedsMoreInput => Then::MoreInput,
        BrotliResult::NeedsMoreOutput => Then::MoreRoom,
        BrotliResult::ResultFailure => return Err(()),
    };
    Ok(Step { read, then })
}

fn step_zstd(
    stream: &mut zstd::stream::raw::Decoder<'static>,
    input: &[u8],
    output: &mut Vec<u8>,
) -> Result<Step, ()> {
    let mut source = InBuffer::around(input);
    let written = output.len();
    let mut target = OutBuffer::around_pos(output, written);
    let hint = stream.run(&mut source, &mut target).map_err(|_| ())?;
    let read = source.pos();
    let then = match hint {
        0 => Then::End,
        _ => wants(output),
    };
    Ok(Step { read, then })
}

/// A decoder that left room has read all it was given.
fn wants(output: &Vec<u8>) -> Then {
    if output.len() == output.capacity() {
        Then::MoreRoom
    } else {
        Then::MoreInput
    }
}

fn make_room(output: &mut Vec<u8>) -> Result<(), OpError> {
    if output.len() >= OUTPUT_BYTES_MAX {
        return Err(range_error(format!(
            "one piece of input yields more than {OUTPUT_BYTES_MAX} bytes, the limit"
        )));
    }
    if output.len() == output.capacity() {
        output.reserve(STEP_BYTES);
    }
    Ok(())
}

/// Counts of bytes in memory fit; a count that does not can only be wrong, and reads as all.
fn usize_of(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn unknown_format(name: &str) -> OpError {
    OpError::type_error(format!(
        "\"{name}\" is not a compression format; known are gzip, deflate, deflate-raw, br, zstd"
    ))
}

fn unable(error: impl std::fmt::Display) -> OpError {
    OpError::type_error(format!("compression failed: {error}"))
}

fn ended() -> OpError {
    OpError::type_error("compression failed: the stream has ended")
}

#[cfg(test)]
mod tests;
