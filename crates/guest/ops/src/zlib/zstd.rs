//! Zstandard, both ways; parameters have the numbers of its C library.

use ::zstd::stream::raw::{CParameter, DParameter, InBuffer, Operation, OutBuffer};
use mayfly_engine::data::OpError;

use super::{DATA_ERROR, Done, OK, OPERATION_FINISH, OPERATION_FLUSH, STREAM_END, Settings};
use crate::range_error;

pub(super) type Encoder = ::zstd::stream::raw::Encoder<'static>;
pub(super) type Decoder = ::zstd::stream::raw::Decoder<'static>;

pub(super) fn encoder(settings: &Settings) -> Result<Encoder, OpError> {
    let level = settings
        .pairs()
        .find(|(name, _)| *name == 100)
        .map_or(3, |(_, value)| value as i32);
    let dictionary = settings.dictionary.as_deref().unwrap_or_default();
    let mut encoder = Encoder::with_dictionary(level, dictionary).map_err(unable)?;
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

pub(super) fn decoder(settings: &Settings) -> Result<Decoder, OpError> {
    let dictionary = settings.dictionary.as_deref().unwrap_or_default();
    let mut decoder = Decoder::with_dictionary(dictionary).map_err(unable)?;
    for (name, value) in settings.pairs() {
        if name == 100 {
            let parameter = DParameter::WindowLogMax(value as u32);
            decoder.set_parameter(parameter).map_err(unable)?;
        }
    }
    Ok(decoder)
}

pub(super) fn encode(encoder: &mut Encoder, input: &[u8], flush: u32, room: usize) -> Done {
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

pub(super) fn decode(decoder: &mut Decoder, input: &[u8], room: usize) -> Done {
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

fn unable(error: impl std::fmt::Display) -> OpError {
    range_error(format!("Initialization failed: {error}"))
}
