//! Brotli, both ways; parameters have the numbers of its C library.

use std::io::Write;

use ::brotli::enc::BrotliEncoderParams;
use ::brotli::enc::StandardAlloc;
use ::brotli::enc::backward_references::BrotliEncoderMode;
use ::brotli::{BrotliDecompressStream, BrotliResult, BrotliState, CompressorWriter};

use super::{DATA_ERROR, Done, OK, OPERATION_FINISH, OPERATION_FLUSH, STREAM_END, Settings};

/// Bytes that a brotli encoder collects before it hands them on.
const STEP_BYTES: usize = 64 * 1024;

pub(super) type Decoder = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// Boxed: its state is several kilobytes.
pub(super) fn decoder() -> Box<Decoder> {
    Box::new(BrotliState::new(
        StandardAlloc::default(),
        StandardAlloc::default(),
        StandardAlloc::default(),
    ))
}

pub(super) struct Encoder {
    /// `None` once it has ended.
    writer: Option<Box<CompressorWriter<Vec<u8>>>>,
    /// What came out and nobody had room for.
    ready: Vec<u8>,
}

impl Encoder {
    pub(super) fn new(settings: &Settings) -> Self {
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

    pub(super) fn write(&mut self, input: &[u8], flush: u32, room: usize) -> Done {
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

pub(super) fn decode(state: &mut Decoder, input: &[u8], room: usize) -> Done {
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
