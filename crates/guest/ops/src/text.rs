//! Text: UTF-8, the other encodings of the Encoding Standard, Latin-1 and base64.
//!
//! `encoding_rs` knows the tables, `base64-simd` the forgiving decode of the Infra Standard. The
//! classes `TextEncoder` and `TextDecoder`, and the choice of their errors' wording, are the
//! platform's.
//!
//! Invariant: a decoder that ended or failed is as new, since a `TextDecoder` may be used again.

use encoding_rs::{CoderResult, Decoder, DecoderResult, Encoding};
use mayfly_engine::data::{Args, Data, OpDecl, OpError, OpResult};

use crate::{HasOps, op, range_error};

/// Bytes of one copy; messages, which it is for, end far below.
const BYTES_COPY_MAX: usize = 64 * 1024 * 1024;

pub fn declarations<S: HasOps>() -> Vec<OpDecl<S>> {
    vec![
        op("textEncode", text_encode::<S>),
        op("textEncodeInto", text_encode_into::<S>),
        op("textDecodeUtf8", text_decode_utf8::<S>),
        op("textEncodingName", text_encoding_name::<S>),
        op("textDecoderNew", text_decoder_new::<S>),
        op("textDecoderDecode", text_decoder_decode::<S>),
        op("textDecoderFree", text_decoder_free::<S>),
        op("bytesCopy", bytes_copy::<S>),
        op("textLatin1Decode", text_latin1_decode::<S>),
        op("textLatin1Encode", text_latin1_encode::<S>),
        op("base64Encode", base64_encode::<S>),
        op("base64Decode", base64_decode::<S>),
    ]
}

const UTF8_BOM: &[u8] = b"\xef\xbb\xbf";

fn text_encode<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    Ok(Data::Bytes(args.string(0)?.into_bytes()))
}

fn text_encode_into<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let mut text = args.string(0)?;
    let room = args.u32(1)? as usize;
    text.truncate(text.floor_char_boundary(room));
    let read = text.encode_utf16().count();
    Ok(Data::List(vec![
        Data::Number(read as f64),
        Data::Bytes(text.into_bytes()),
    ]))
}

fn text_decode_utf8<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let mut bytes = args.bytes(0)?;
    let (fatal, ignore_bom) = (args.bool(1)?, args.bool(2)?);
    if !ignore_bom && bytes.starts_with(UTF8_BOM) {
        bytes.drain(..UTF8_BOM.len());
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Data::String(text)),
        Err(_) if fatal => Err(malformed("utf-8")),
        // The standard library replaces maximal subparts, as the Encoding Standard does.
        Err(error) => {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            Ok(Data::String(text))
        }
    }
}

fn text_encoding_name<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    Ok(match Encoding::for_label(args.string(0)?.as_bytes()) {
        Some(encoding) => Data::String(encoding.name().to_ascii_lowercase()),
        None => Data::Undefined,
    })
}

/// A `TextDecoder`'s state between calls.
pub struct StreamDecoder {
    encoding: &'static Encoding,
    fatal: bool,
    ignore_bom: bool,
    decoder: Decoder,
}

impl std::fmt::Debug for StreamDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamDecoder")
            .field("encoding", &self.encoding.name())
            .finish_non_exhaustive()
    }
}

impl StreamDecoder {
    fn new(encoding: &'static Encoding, fatal: bool, ignore_bom: bool) -> Self {
        Self {
            encoding,
            fatal,
            ignore_bom,
            decoder: fresh(encoding, ignore_bom),
        }
    }

    fn decode(&mut self, bytes: &[u8], last: bool) -> OpResult {
        let result = if self.fatal {
            self.decode_or_fail(bytes, last)
        } else {
            self.decode_with_replacement(bytes, last)
        };
        if last || result.is_err() {
            self.decoder = fresh(self.encoding, self.ignore_bom);
        }
        result.map(Data::String)
    }

    fn decode_or_fail(&mut self, bytes: &[u8], last: bool) -> Result<String, OpError> {
        let room = self
            .decoder
            .max_utf8_buffer_length_without_replacement(bytes.len());
        let mut text = String::with_capacity(room.ok_or_else(too_long)?);
        let (outcome, _) = self
            .decoder
            .decode_to_string_without_replacement(bytes, &mut text, last);
        match outcome {
            DecoderResult::InputEmpty => Ok(text),
            DecoderResult::Malformed(..) => {
                Err(malformed(&self.encoding.name().to_ascii_lowercase()))
            }
            DecoderResult::OutputFull => Err(too_long()),
        }
    }

    fn decode_with_replacement(&mut self, bytes: &[u8], last: bool) -> Result<String, OpError> {
        let room = self.decoder.max_utf8_buffer_length(bytes.len());
        let mut text = String::with_capacity(room.ok_or_else(too_long)?);
        let (outcome, _, _) = self.decoder.decode_to_string(bytes, &mut text, last);
        match outcome {
            CoderResult::InputEmpty => Ok(text),
            CoderResult::OutputFull => Err(too_long()),
        }
    }
}

fn fresh(encoding: &'static Encoding, ignore_bom: bool) -> Decoder {
    if ignore_bom {
        encoding.new_decoder_without_bom_handling()
    } else {
        encoding.new_decoder_with_bom_removal()
    }
}

fn text_decoder_new<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let label = args.string(0)?;
    let (fatal, ignore_bom) = (args.bool(1)?, args.bool(2)?);
    // The `replacement` encoding has labels but no decoder: the standard asks for a RangeError.
    let encoding = Encoding::for_label_no_replacement(label.as_bytes())
        .ok_or_else(|| range_error(format!("\"{label}\" is not an encoding's label")))?;
    let decoder = StreamDecoder::new(encoding, fatal, ignore_bom);
    state.ops().decoders.insert(decoder)
}

fn text_decoder_decode<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let (handle, bytes, last) = (args.u32(0)?, args.bytes(1)?, args.bool(2)?);
    state.ops().decoders.get(handle)?.decode(&bytes, last)
}

fn text_decoder_free<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    state.ops().decoders.remove(args.u32(0)?);
    Ok(Data::Undefined)
}

/// Bytes, and zeroes behind them up to a length: memory of our own making, see the allocator.
fn bytes_copy<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let mut bytes = args.bytes(0)?;
    let length = args.u32(1)? as usize;
    if length > BYTES_COPY_MAX {
        return Err(range_error(format!(
            "a copy of {length} bytes is above the limit of {BYTES_COPY_MAX}"
        )));
    }
    if length > bytes.len() {
        let mut longer = vec![0; length];
        longer[..bytes.len()].copy_from_slice(&bytes);
        bytes = longer;
    }
    Ok(Data::Bytes(bytes))
}

fn text_latin1_decode<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let text = encoding_rs::mem::decode_latin1(&args.bytes(0)?).into_owned();
    Ok(Data::String(text))
}

fn text_latin1_encode<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let text = args.string(0)?;
    if !encoding_rs::mem::is_str_latin1(&text) {
        return Err(OpError::type_error(
            "the string has characters above 255, which are not bytes",
        ));
    }
    let bytes = encoding_rs::mem::encode_latin1_lossy(&text).into_owned();
    Ok(Data::Bytes(bytes))
}

fn base64_encode<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let text = base64_simd::STANDARD.encode_to_string(args.bytes(0)?);
    Ok(Data::String(text))
}

fn base64_decode<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let text = args.string(0)?;
    Ok(
        match base64_simd::forgiving_decode_to_vec(text.as_bytes()) {
            Ok(bytes) => Data::Bytes(bytes),
            Err(_) => Data::Undefined,
        },
    )
}

fn malformed(encoding: &str) -> OpError {
    OpError::type_error(format!("the bytes are not valid {encoding}"))
}

fn too_long() -> OpError {
    range_error("the decoded text would be too long")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        OpsState,
        testing::{bytes, call, text},
    };

    #[test]
    fn utf8_is_decoded_by_its_options() {
        let check = |input: &[u8], fatal, ignore_bom, expect: Option<&str>| {
            let args = vec![bytes(input), Data::Bool(fatal), Data::Bool(ignore_bom)];
            let found = call(&mut OpsState::new(), "textDecodeUtf8", args).ok();
            assert_eq!(found, expect.map(text), "{input:?} {fatal} {ignore_bom}");
        };
        check(b"a\xc3\xa9", true, false, Some("a\u{e9}"));
        check(b"\xef\xbb\xbfa", true, false, Some("a"));
        check(b"\xef\xbb\xbfa", true, true, Some("\u{feff}a"));
        check(b"a\xff", true, false, None);
        check(b"a\xff\xe2\x82b", false, false, Some("a\u{fffd}\u{fffd}b"));
        check(
            b"\xed\xa0\x80",
            false,
            false,
            Some("\u{fffd}\u{fffd}\u{fffd}"),
        );
    }

    #[test]
    fn encode_into_never_splits_a_character() {
        let check = |input: &str, room: f64, read: f64, written: &[u8]| {
            let args = vec![text(input), Data::Number(room)];
            let found = call(&mut OpsState::new(), "textEncodeInto", args).unwrap();
            let expect = Data::List(vec![Data::Number(read), bytes(written)]);
            assert_eq!(found, expect, "{input} {room}");
        };
        check("abc", 2.0, 2.0, b"ab");
        check("a\u{e9}", 2.0, 1.0, b"a");
        check("\u{1f600}!", 4.0, 2.0, "\u{1f600}".as_bytes());
        check("\u{1f600}!", 3.0, 0.0, b"");
        check("", 0.0, 0.0, b"");
    }

    fn decoder(state: &mut OpsState, label: &str, fatal: bool, ignore_bom: bool) -> Data {
        let args = vec![text(label), Data::Bool(fatal), Data::Bool(ignore_bom)];
        call(state, "textDecoderNew", args).unwrap()
    }

    fn decode(state: &mut OpsState, handle: &Data, input: &[u8], last: bool) -> OpResult {
        let args = vec![handle.clone(), bytes(input), Data::Bool(last)];
        call(state, "textDecoderDecode", args)
    }

    #[test]
    fn a_streaming_decoder_joins_pieces_and_starts_again_after_the_last() {
        let state = &mut OpsState::new();
        let utf8 = decoder(state, "UTF8", false, false);
        assert_eq!(decode(state, &utf8, b"\xef\xbb", false), Ok(text("")));
        assert_eq!(decode(state, &utf8, b"\xbf\xe2\x82", false), Ok(text("")));
        assert_eq!(decode(state, &utf8, b"\xac", false), Ok(text("\u{20ac}")));
        assert_eq!(decode(state, &utf8, b"\xe2", true), Ok(text("\u{fffd}")));
        assert_eq!(decode(state, &utf8, b"\xef\xbb\xbfx", true), Ok(text("x")));
        call(state, "textDecoderFree", vec![utf8.clone()]).unwrap();
        assert!(decode(state, &utf8, b"", true).is_err());
    }

    #[test]
    fn a_fatal_decoder_is_as_new_after_it_failed() {
        let state = &mut OpsState::new();
        let utf8 = decoder(state, "utf-8", true, false);
        assert_eq!(decode(state, &utf8, b"\xe2", false), Ok(text("")));
        assert_eq!(
            decode(state, &utf8, b"(", false).unwrap_err().class,
            "TypeError"
        );
        assert_eq!(decode(state, &utf8, b"ok", false), Ok(text("ok")));
    }

    #[test]
    fn legacy_encodings_decode() {
        let check = |label: &str, input: &[u8], expect: &str| {
            let state = &mut OpsState::new();
            let handle = decoder(state, label, true, false);
            assert_eq!(
                decode(state, &handle, input, true),
                Ok(text(expect)),
                "{label}"
            );
        };
        check("latin1", b"\x80\xe9", "\u{20ac}\u{e9}");
        check("shift_jis", b"\x82\xa0", "\u{3042}");
        check("gb18030", b"\x81\x30\x81\x30", "\u{80}");
        check("utf-16le", b"\xff\xfe\x3d\xd8\x00\xde", "\u{1f600}");
        check("utf-16be", b"\x00A", "A");
    }

    #[test]
    fn labels_have_names() {
        let name = |label: &str| call(&mut OpsState::new(), "textEncodingName", vec![text(label)]);
        assert_eq!(name(" UTF8\n"), Ok(text("utf-8")));
        assert_eq!(name("ascii"), Ok(text("windows-1252")));
        assert_eq!(name("hz-gb-2312"), Ok(text("replacement")));
        assert_eq!(name("klingon"), Ok(Data::Undefined));
        let args = vec![text("hz-gb-2312"), Data::Bool(false), Data::Bool(false)];
        let refused = call(&mut OpsState::new(), "textDecoderNew", args).unwrap_err();
        assert_eq!(refused.class, "RangeError");
    }

    #[test]
    fn base64_decodes_forgivingly() {
        let check = |input: &str, expect: Option<&[u8]>| {
            let found = call(&mut OpsState::new(), "base64Decode", vec![text(input)]).unwrap();
            assert_eq!(found, expect.map_or(Data::Undefined, bytes), "{input:?}");
        };
        check("", Some(b""));
        check("YQ==", Some(b"a"));
        check("YQ", Some(b"a"));
        check(" Y\tQ\n=\r=\x0c ", Some(b"a"));
        check("YR==", Some(b"a"));
        check("YQ=", None);
        check("Y", None);
        check("YWJj=", None);
        check("YWJj====", None);
        check("Y-_Q", None);
        check("Y\u{b}Q==", None);
        let encoded = call(
            &mut OpsState::new(),
            "base64Encode",
            vec![bytes(b"\xff\xfeab")],
        );
        assert_eq!(encoded, Ok(text("//5hYg==")));
    }

    #[test]
    fn a_copy_has_zeroes_behind_it_and_a_bound() {
        let state = &mut OpsState::new();
        let copy = |state: &mut OpsState, length: usize| {
            call(
                state,
                "bytesCopy",
                vec![bytes([1, 2]), Data::Number(length as f64)],
            )
        };
        assert_eq!(copy(state, 2), Ok(bytes([1, 2])));
        assert_eq!(copy(state, 4), Ok(bytes([1, 2, 0, 0])));
        assert_eq!(
            copy(state, BYTES_COPY_MAX + 1).unwrap_err().class,
            "RangeError"
        );
    }

    #[test]
    fn latin1_goes_both_ways() {
        let state = &mut OpsState::new();
        let all: Vec<u8> = (0..=255).collect();
        let decoded = call(state, "textLatin1Decode", vec![bytes(&all)]).unwrap();
        assert_eq!(
            decoded,
            text(&(0..=255u8).map(char::from).collect::<String>())
        );
        assert_eq!(
            call(state, "textLatin1Encode", vec![decoded]),
            Ok(bytes(&all))
        );
        assert!(call(state, "textLatin1Encode", vec![text("\u{100}")]).is_err());
    }
}
