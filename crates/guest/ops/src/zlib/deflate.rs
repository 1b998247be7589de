//! zlib, gzip and raw deflate, both ways, and `unzip`, which looks what it has. The members of a gzip
//! file are one text.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use mayfly_engine::data::OpError;

use super::{
    BUFFER_ERROR, DATA_ERROR, Done, NEED_DICTIONARY, OK, STREAM_END, STREAM_ERROR, Settings,
};
use crate::range_error;

/// zlib's flushes.
const FLUSH_PARTIAL: u32 = 1;
pub(super) const FLUSH_SYNC: u32 = 2;
const FLUSH_FULL: u32 = 3;
pub(super) const FLUSH_FINISH: u32 = 4;

/// The first bytes of a gzip member.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

pub(super) fn compression(level: f64) -> Compression {
    if (0.0..=9.0).contains(&level) {
        Compression::new(level as u32)
    } else {
        Compression::default()
    }
}

pub(super) fn deflater(settings: &Settings) -> Result<Compress, OpError> {
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

pub(super) fn write_deflate(deflate: &mut Compress, input: &[u8], flush: u32, room: usize) -> Done {
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
pub(super) struct Inflater {
    inner: Option<Decompress>,
    is_gzip: bool,
    /// First bytes of input to `unzip` that do not say yet what it is.
    held: Vec<u8>,
}

impl Inflater {
    pub(super) fn new(settings: &Settings) -> Self {
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

    pub(super) fn write(
        &mut self,
        settings: &Settings,
        input: &[u8],
        flush: u32,
        room: usize,
    ) -> Done {
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

/// Counts of bytes in memory fit; a count that does not can only be wrong, and reads as all.
fn usize_of(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
