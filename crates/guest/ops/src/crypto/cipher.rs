//! Ciphers in pieces: what `createCipheriv` of node:crypto needs beyond WebCrypto.
//!
//! The block ciphers are crates'; the modes are put together here over them, because Node.js feeds
//! data in pieces of any length, turns padding off and takes tags of several lengths. ChaCha20 with
//! Poly1305 is ring's and takes its data at once.
//!
//! Deliberately as in Node.js: GCM gives plaintext before its tag was compared; `finish` is what
//! tells. CCM and ChaCha20-Poly1305 compare first.
//!
//! Invariant: a cipher that finished or failed does nothing any more.

mod modes;
#[cfg(test)]
mod tests;
mod whole;

use crate::{HasOps, op};
use ::aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit, array::Array};
use ::aes::{Aes128, Aes192, Aes256};
use des::{Des, TdesEde2, TdesEde3};
use mayfly_engine::data::{Args, Data, OpDecl, OpError, OpResult};
use modes::{Gcm, Keystream, Padded, Stream};
use ring::aead::{CHACHA20_POLY1305, LessSafeKey, UnboundKey};
use subtle::ConstantTimeEq;
use whole::{Whole, WholeKind};

/// Bytes of the longest block.
const BLOCK_MAX: usize = 16;

/// Bytes that a tag has unless told otherwise.
const TAG_BYTES: usize = 16;

pub fn declarations<S: HasOps>() -> Vec<OpDecl<S>> {
    vec![
        op("cryptoCipherNew", new::<S>),
        op("cryptoCipherUpdate", update::<S>),
        op("cryptoCipherAdditional", additional::<S>),
        op("cryptoCipherPadding", padding::<S>),
        op("cryptoCipherTag", tag::<S>),
        op("cryptoCipherFinish", finish::<S>),
        op("cryptoCipherFree", free::<S>),
    ]
}

/// A block cipher with its key, whatever it is. Blocks stand side by side in `bytes`.
trait Blocks {
    fn size(&self) -> usize;
    fn encrypt(&self, bytes: &mut [u8]);
    fn decrypt(&self, bytes: &mut [u8]);
}

struct Keyed<C>(C);

impl<C: BlockCipherEncrypt + BlockCipherDecrypt> Blocks for Keyed<C> {
    fn size(&self) -> usize {
        C::block_size()
    }

    fn encrypt(&self, bytes: &mut [u8]) {
        let (blocks, _) = Array::slice_as_chunks_mut(bytes);
        self.0.encrypt_blocks(blocks);
    }

    fn decrypt(&self, bytes: &mut [u8]) {
        let (blocks, _) = Array::slice_as_chunks_mut(bytes);
        self.0.decrypt_blocks(blocks);
    }
}

fn keyed<C>(key: &[u8]) -> Result<Box<dyn Blocks>, OpError>
where
    C: KeyInit + BlockCipherEncrypt + BlockCipherDecrypt + 'static,
{
    let cipher = C::new_from_slice(key).map_err(|_| failed("Invalid key length"))?;
    Ok(Box::new(Keyed(cipher)))
}

fn blocks(name: &str, key: &[u8]) -> Result<Box<dyn Blocks>, OpError> {
    match name {
        "aes-128" => keyed::<Aes128>(key),
        "aes-192" => keyed::<Aes192>(key),
        "aes-256" => keyed::<Aes256>(key),
        "des" => keyed::<Des>(key),
        "des-ede" => keyed::<TdesEde2>(key),
        "des-ede3" => keyed::<TdesEde3>(key),
        _ => Err(failed("Unknown or unsupported cipher")),
    }
}

fn failed(message: &str) -> OpError {
    OpError {
        class: "Error",
        message: message.to_owned(),
    }
}

/// What a wrong tag is.
fn unauthentic() -> OpError {
    failed("Unsupported state or unable to authenticate data")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Encrypt,
    Decrypt,
}

/// A cipher under way.
pub struct Cipher {
    direction: Direction,
    mode: Mode,
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

enum Mode {
    Padded(Padded),
    Stream(Keystream),
    Gcm(Box<Gcm>),
    Whole(Box<Whole>),
    Done,
}

impl Cipher {
    /// `name` is the block cipher's and `mode` its own (`cbc`, `ctr`...). What lengths are allowed
    /// was checked by the platform, which has Node.js's words for it; here they only must be safe.
    fn new(
        direction: Direction,
        name: &str,
        mode: &str,
        key: &[u8],
        iv: Vec<u8>,
        tag_bytes: Option<usize>,
    ) -> Result<Self, OpError> {
        let wrong_iv = || failed("Invalid initialization vector");
        let is_tag = |least: usize| tag_bytes.is_none_or(|bytes| (least..=16).contains(&bytes));
        let whole = |kind| Whole {
            kind,
            iv: iv.clone(),
            additional: Vec::new(),
            tag: None,
            tag_bytes: tag_bytes.unwrap_or(TAG_BYTES),
            was_used: false,
        };
        if name == "chacha20" {
            let key = UnboundKey::new(&CHACHA20_POLY1305, key)
                .map_err(|_| failed("Invalid key length"))?;
            if !is_tag(1) {
                return Err(failed("Invalid authentication tag length"));
            }
            let kind = WholeKind::ChaCha(Box::new(LessSafeKey::new(key)));
            let mode = Mode::Whole(Box::new(whole(kind)));
            return Ok(Self { direction, mode });
        }
        let cipher = blocks(name, key)?;
        let size = cipher.size();
        let padded = |cipher, chain| {
            Mode::Padded(Padded {
                cipher,
                chain,
                held: Vec::new(),
                is_padding: true,
            })
        };
        let mode = match mode {
            "ecb" => padded(cipher, None),
            "cbc" if iv.len() == size => padded(cipher, Some(iv)),
            "ctr" if iv.len() == size => Mode::Stream(Keystream::new(cipher, Stream::Ctr, iv)),
            "ofb" if iv.len() == size => Mode::Stream(Keystream::new(cipher, Stream::Ofb, iv)),
            "gcm" if size == BLOCK_MAX && !iv.is_empty() && is_tag(4) => {
                Mode::Gcm(Box::new(Gcm::new(cipher, &iv, tag_bytes)))
            }
            "ccm" if size == BLOCK_MAX && (7..=13).contains(&iv.len()) => {
                let bytes = tag_bytes.unwrap_or(TAG_BYTES);
                if !is_tag(4) || !bytes.is_multiple_of(2) {
                    return Err(failed("Invalid authentication tag length"));
                }
                Mode::Whole(Box::new(whole(WholeKind::Ccm(cipher))))
            }
            "gcm" if !is_tag(4) => return Err(failed("Invalid authentication tag length")),
            _ => return Err(wrong_iv()),
        };
        Ok(Self { direction, mode })
    }

    fn update(&mut self, mut bytes: Vec<u8>) -> Result<Vec<u8>, OpError> {
        match &mut self.mode {
            Mode::Padded(mode) => Ok(mode.update(self.direction, &bytes)),
            Mode::Stream(stream) => {
                stream.apply(&mut bytes);
                Ok(bytes)
            }
            Mode::Gcm(gcm) => {
                gcm.update(self.direction, &mut bytes);
                Ok(bytes)
            }
            Mode::Whole(whole) => whole.update(self.direction, bytes),
            Mode::Done => Err(finalized()),
        }
    }

    /// What is left, and the tag of an encryption.
    fn finish(&mut self) -> Result<(Vec<u8>, Option<Vec<u8>>), OpError> {
        let direction = self.direction;
        match std::mem::replace(&mut self.mode, Mode::Done) {
            Mode::Padded(mode) => Ok((mode.finish(direction)?, None)),
            Mode::Stream(_) => Ok((Vec::new(), None)),
            Mode::Gcm(mut gcm) => {
                let (given, bytes) = (gcm.tag.take(), gcm.tag_bytes);
                let mut tag = gcm.whole_tag();
                if direction == Direction::Encrypt {
                    tag.truncate(bytes.unwrap_or(TAG_BYTES));
                    return Ok((Vec::new(), Some(tag)));
                }
                let given = given.ok_or_else(|| failed("No auth tag provided"))?;
                if given.len() > tag.len() || !bool::from(tag[..given.len()].ct_eq(&given)) {
                    return Err(unauthentic());
                }
                Ok((Vec::new(), None))
            }
            Mode::Whole(mut whole) => {
                // No data at all is data too: its tag counts.
                if !whole.was_used {
                    whole.update(direction, Vec::new())?;
                }
                let tag = (direction == Direction::Encrypt)
                    .then_some(whole.tag)
                    .flatten();
                Ok((Vec::new(), tag))
            }
            Mode::Done => Err(finalized()),
        }
    }
}

fn finalized() -> OpError {
    failed("Cipher/decipher context has already been finalized")
}

fn new<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let direction = match args.bool(0)? {
        true => Direction::Encrypt,
        false => Direction::Decrypt,
    };
    let (name, mode) = (args.string(1)?, args.string(2)?);
    let (key, iv) = (args.bytes(3)?, args.bytes(4)?);
    let tag_bytes = match args.take(5) {
        Data::Number(bytes) => Some(bytes as usize),
        _ => None,
    };
    let cipher = Cipher::new(direction, &name, &mode, &key, iv, tag_bytes)?;
    state.ops().ciphers.insert(cipher)
}

fn update<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let (handle, bytes) = (args.u32(0)?, args.bytes(1)?);
    state
        .ops()
        .ciphers
        .get(handle)?
        .update(bytes)
        .map(Data::Bytes)
}

fn additional<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let (handle, bytes) = (args.u32(0)?, args.bytes(1)?);
    match &mut state.ops().ciphers.get(handle)?.mode {
        Mode::Gcm(gcm) if gcm.data_bytes == 0 => {
            gcm.additional_bytes += bytes.len();
            gcm.hashed(&bytes);
        }
        Mode::Whole(whole) if !whole.was_used => whole.additional = bytes,
        Mode::Done => return Err(finalized()),
        Mode::Gcm(_) | Mode::Whole(_) => return Err(failed("Failed to set AAD")),
        Mode::Padded(_) | Mode::Stream(_) => {
            return Err(failed("Cipher does not support authenticated mode"));
        }
    }
    Ok(Data::Undefined)
}

fn padding<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let (handle, is_padding) = (args.u32(0)?, args.bool(1)?);
    match &mut state.ops().ciphers.get(handle)?.mode {
        Mode::Padded(mode) => mode.is_padding = is_padding,
        Mode::Done => return Err(finalized()),
        Mode::Whole(_) => return Err(failed("Setting autopadding is not supported on AEADs")),
        Mode::Stream(_) | Mode::Gcm(_) => {}
    }
    Ok(Data::Undefined)
}

/// The tag that a decryption must find.
fn tag<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let (handle, bytes) = (args.u32(0)?, args.bytes(1)?);
    match &mut state.ops().ciphers.get(handle)?.mode {
        Mode::Gcm(gcm) => gcm.tag = Some(bytes),
        Mode::Whole(whole) if bytes.len() == whole.tag_bytes => whole.tag = Some(bytes),
        Mode::Whole(_) => return Err(failed("Invalid authentication tag length")),
        Mode::Done => return Err(finalized()),
        Mode::Padded(_) | Mode::Stream(_) => {
            return Err(failed("Cipher does not support authenticated mode"));
        }
    }
    Ok(Data::Undefined)
}

fn finish<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let handle = args.u32(0)?;
    let result = state.ops().ciphers.get(handle)?.finish();
    state.ops().ciphers.remove(handle);
    let (rest, tag) = result?;
    Ok(Data::List(vec![
        Data::Bytes(rest),
        tag.map_or(Data::Undefined, Data::Bytes),
    ]))
}

fn free<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    state.ops().ciphers.remove(args.u32(0)?);
    Ok(Data::Undefined)
}
