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

use ::aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit, array::Array};
use ::aes::{Aes128, Aes192, Aes256};
use des::{Des, TdesEde2, TdesEde3};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use mayfly_engine::data::{Args, Data, OpDecl, OpError, OpResult};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use subtle::ConstantTimeEq;

use crate::{HasOps, op};

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

/// ECB and CBC: whole blocks, and padding at the end.
struct Padded {
    cipher: Box<dyn Blocks>,
    /// CBC's last ciphertext block; none is ECB.
    chain: Option<Vec<u8>>,
    /// What is not a whole block yet; when decrypting with padding also the last whole block.
    held: Vec<u8>,
    is_padding: bool,
}

impl Padded {
    fn apply(&mut self, direction: Direction, bytes: &mut [u8]) {
        let size = self.cipher.size();
        let Some(chain) = self.chain.as_mut() else {
            return match direction {
                Direction::Encrypt => self.cipher.encrypt(bytes),
                Direction::Decrypt => self.cipher.decrypt(bytes),
            };
        };
        match direction {
            Direction::Encrypt => {
                for block in bytes.chunks_exact_mut(size) {
                    xor(block, chain);
                    self.cipher.encrypt(block);
                    chain.copy_from_slice(block);
                }
            }
            Direction::Decrypt => {
                let sealed = bytes.to_vec();
                self.cipher.decrypt(bytes);
                for (block, sealed) in bytes.chunks_exact_mut(size).zip(sealed.chunks_exact(size)) {
                    xor(block, chain);
                    chain.copy_from_slice(sealed);
                }
            }
        }
    }

    fn update(&mut self, direction: Direction, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let size = self.cipher.size();
        let mut ready = self.held.len() - self.held.len() % size;
        // The last block may be padding, so it is kept until the end is known.
        if direction == Direction::Decrypt && self.is_padding && ready == self.held.len() {
            ready = ready.saturating_sub(size);
        }
        let rest = self.held.split_off(ready);
        let mut out = std::mem::replace(&mut self.held, rest);
        self.apply(direction, &mut out);
        out
    }

    fn finish(mut self, direction: Direction) -> Result<Vec<u8>, OpError> {
        let size = self.cipher.size();
        let mut held = std::mem::take(&mut self.held);
        if !self.is_padding {
            return match held.is_empty() {
                true => Ok(held),
                false if direction == Direction::Encrypt => Err(failed("wrong final block length")),
                false => Err(failed("wrong final block length")),
            };
        }
        if direction == Direction::Encrypt {
            let missing = size - held.len();
            held.resize(size, u8::try_from(missing).unwrap_or(0));
            self.apply(direction, &mut held);
            return Ok(held);
        }
        if held.len() != size {
            return Err(failed("wrong final block length"));
        }
        self.apply(direction, &mut held);
        let count = usize::from(held[size - 1]);
        let is_sound = (1..=size).contains(&count)
            && held[size - count..]
                .iter()
                .all(|byte| usize::from(*byte) == count);
        if !is_sound {
            return Err(failed("bad decrypt"));
        }
        held.truncate(size - count);
        Ok(held)
    }
}

fn xor(bytes: &mut [u8], key: &[u8]) {
    for (byte, key) in bytes.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// CTR, OFB and the inside of GCM: a stream of bytes to XOR with.
struct Keystream {
    cipher: Box<dyn Blocks>,
    kind: Stream,
    /// The counter block, or OFB's last output.
    block: Vec<u8>,
    /// What of the last block was not used yet.
    left: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    /// The whole block counts.
    Ctr,
    /// The last 32 bits count.
    Gcm,
    Ofb,
}

impl Keystream {
    fn new(cipher: Box<dyn Blocks>, kind: Stream, block: Vec<u8>) -> Self {
        Self {
            cipher,
            kind,
            block,
            left: Vec::new(),
        }
    }

    fn next_block(&mut self) -> Vec<u8> {
        if self.kind == Stream::Ofb {
            self.cipher.encrypt(&mut self.block);
            return self.block.clone();
        }
        let mut out = self.block.clone();
        self.cipher.encrypt(&mut out);
        let counted = if self.kind == Stream::Gcm {
            self.block.len() - 4
        } else {
            0
        };
        for byte in self.block[counted..].iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
        out
    }

    fn apply(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            if self.left.is_empty() {
                self.left = self.next_block();
            }
            let count = bytes.len().min(self.left.len());
            let (now, later) = bytes.split_at_mut(count);
            xor(now, &self.left);
            self.left.drain(..count);
            bytes = later;
        }
    }
}

/// GCM as NIST SP 800-38D section 7 has it, in pieces.
struct Gcm {
    stream: Keystream,
    hash: GHash,
    /// Ciphertext or additional data that is not a whole block of the hash yet.
    part: Vec<u8>,
    additional_bytes: usize,
    data_bytes: usize,
    /// What the hash is XORed with at the end.
    mask: Vec<u8>,
    /// The tag to compare with, of a decryption; its length, of an encryption.
    tag: Option<Vec<u8>>,
    tag_bytes: Option<usize>,
}

impl Gcm {
    fn new(cipher: Box<dyn Blocks>, iv: &[u8], tag_bytes: Option<usize>) -> Self {
        let mut key = [0; BLOCK_MAX];
        cipher.encrypt(&mut key);
        let hash = GHash::new(&key.into());
        let mut first = [0; BLOCK_MAX];
        if iv.len() == 12 {
            first[..12].copy_from_slice(iv);
            first[15] = 1;
        } else {
            let mut hash = hash.clone();
            hash.update_padded(iv);
            hash.update(&[lengths(0, iv.len())]);
            first = hash.finalize().into();
        }
        let mut stream = Keystream::new(cipher, Stream::Gcm, first.to_vec());
        let mask = stream.next_block();
        Self {
            stream,
            hash,
            part: Vec::new(),
            additional_bytes: 0,
            data_bytes: 0,
            mask,
            tag: None,
            tag_bytes,
        }
    }

    fn hashed(&mut self, bytes: &[u8]) {
        self.part.extend_from_slice(bytes);
        let whole = self.part.len() - self.part.len() % BLOCK_MAX;
        let rest = self.part.split_off(whole);
        self.hash.update_padded(&self.part);
        self.part = rest;
    }

    /// Fills the hash's block with zeros.
    fn seam(&mut self) {
        let part = std::mem::take(&mut self.part);
        self.hash.update_padded(&part);
    }

    fn update(&mut self, direction: Direction, bytes: &mut [u8]) {
        if self.data_bytes == 0 {
            self.seam();
        }
        self.data_bytes += bytes.len();
        if direction == Direction::Decrypt {
            self.hashed(bytes);
            return self.stream.apply(bytes);
        }
        self.stream.apply(bytes);
        self.hashed(bytes);
    }

    fn whole_tag(mut self) -> Vec<u8> {
        self.seam();
        let mut hash = self.hash;
        hash.update(&[lengths(self.additional_bytes, self.data_bytes)]);
        let mut tag = hash.finalize().to_vec();
        xor(&mut tag, &self.mask);
        tag
    }
}

/// Two lengths in bits, as the hash's last block.
fn lengths(first: usize, second: usize) -> ghash::Block {
    let bits = (first as u128 * 8) << 64 | (second as u128 * 8);
    bits.to_be_bytes().into()
}

/// CCM and ChaCha20-Poly1305: all of the data at once.
struct Whole {
    kind: WholeKind,
    iv: Vec<u8>,
    additional: Vec<u8>,
    tag: Option<Vec<u8>>,
    tag_bytes: usize,
    was_used: bool,
}

enum WholeKind {
    Ccm(Box<dyn Blocks>),
    ChaCha(Box<LessSafeKey>),
}

impl Whole {
    fn update(&mut self, direction: Direction, bytes: Vec<u8>) -> Result<Vec<u8>, OpError> {
        if std::mem::replace(&mut self.was_used, true) {
            return Err(failed("update() can only be invoked once on an AEAD"));
        }
        let (out, tag) = match &self.kind {
            WholeKind::Ccm(cipher) => ccm(
                cipher.as_ref(),
                &self.iv,
                &self.additional,
                self.tag_bytes,
                direction,
                bytes,
            )?,
            WholeKind::ChaCha(key) => self.chacha(key, direction, bytes)?,
        };
        if direction == Direction::Encrypt {
            self.tag = Some(tag[..self.tag_bytes].to_vec());
            return Ok(out);
        }
        let given = self
            .tag
            .as_deref()
            .ok_or_else(|| failed("No auth tag provided"))?;
        if !bool::from(tag[..self.tag_bytes].ct_eq(given)) {
            let why = "Decryption failed: Incorrect key/IV or corrupted ciphertext/authentication \
                tag provided.";
            return Err(OpError {
                class: "OperationError",
                message: why.to_owned(),
            });
        }
        Ok(out)
    }

    /// The cipher is its own inverse, so opening is sealing once more to see the tag: so tags may
    /// be shorter than ring has them.
    fn chacha(
        &self,
        key: &LessSafeKey,
        direction: Direction,
        mut bytes: Vec<u8>,
    ) -> Result<(Vec<u8>, Vec<u8>), OpError> {
        let seal = |bytes: &mut Vec<u8>| {
            let nonce = Nonce::try_assume_unique_for_key(&self.iv)
                .map_err(|_| failed("Invalid initialization vector"))?;
            key.seal_in_place_separate_tag(nonce, Aad::from(&self.additional), bytes)
                .map(|tag| tag.as_ref().to_vec())
                .map_err(|_| failed("Data too large"))
        };
        let tag = seal(&mut bytes)?;
        if direction == Direction::Encrypt {
            return Ok((bytes, tag));
        }
        let mut again = bytes.clone();
        let tag = seal(&mut again)?;
        Ok((bytes, tag))
    }
}

/// CCM as RFC 3610 has it: what comes out, and the tag of the plaintext.
fn ccm(
    cipher: &dyn Blocks,
    iv: &[u8],
    additional: &[u8],
    tag_bytes: usize,
    direction: Direction,
    mut bytes: Vec<u8>,
) -> Result<(Vec<u8>, Vec<u8>), OpError> {
    let length_bytes = 15 - iv.len();
    if length_bytes < 8 && bytes.len() >> (8 * length_bytes) != 0 {
        return Err(failed("Invalid message length"));
    }
    let counter = |count: u64| {
        let mut block = [0u8; BLOCK_MAX];
        block[0] = (length_bytes - 1) as u8;
        block[1..=iv.len()].copy_from_slice(iv);
        let count = count.to_be_bytes();
        let tail = length_bytes.min(8);
        block[BLOCK_MAX - tail..].copy_from_slice(&count[8 - tail..]);
        block
    };
    let apply = |bytes: &mut [u8]| {
        for (index, chunk) in bytes.chunks_mut(BLOCK_MAX).enumerate() {
            let mut block = counter(index as u64 + 1);
            cipher.encrypt(&mut block);
            xor(chunk, &block);
        }
    };
    if direction == Direction::Decrypt {
        apply(&mut bytes);
    }
    let mut mac = counter(bytes.len() as u64);
    let has_additional = u8::from(!additional.is_empty()) * 64;
    mac[0] |= has_additional | ((((tag_bytes - 2) / 2) as u8) << 3);
    cipher.encrypt(&mut mac);
    let mut hash = |bytes: &[u8]| {
        for chunk in bytes.chunks(BLOCK_MAX) {
            xor(&mut mac, chunk);
            cipher.encrypt(&mut mac);
        }
    };
    if !additional.is_empty() {
        let mut head = match additional.len() {
            short if short < 0xff00 => (short as u16).to_be_bytes().to_vec(),
            long => [&[0xff, 0xfe][..], &(long as u32).to_be_bytes()].concat(),
        };
        head.extend_from_slice(additional);
        hash(&head);
    }
    hash(&bytes);
    let mut mask = counter(0);
    cipher.encrypt(&mut mask);
    xor(&mut mac, &mask);
    if direction == Direction::Encrypt {
        apply(&mut bytes);
    }
    Ok((bytes, mac.to_vec()))
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

#[cfg(test)]
mod tests {
    use super::super::from_hex;
    use super::*;

    fn run(
        direction: Direction,
        suite: (&str, &str),
        key: &str,
        iv: &str,
        pieces: &[&[u8]],
        set: impl FnOnce(&mut Cipher),
    ) -> Result<(Vec<u8>, Option<Vec<u8>>), OpError> {
        let tag_bytes = (suite.1 == "ccm").then_some(8);
        let mut cipher = Cipher::new(
            direction,
            suite.0,
            suite.1,
            &from_hex(key),
            from_hex(iv),
            tag_bytes,
        )?;
        set(&mut cipher);
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(cipher.update(piece.to_vec())?);
        }
        let (rest, tag) = cipher.finish()?;
        out.extend(rest);
        Ok((out, tag))
    }

    const KEY: &str = "2b7e151628aed2a6abf7158809cf4f3c";
    const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51";

    /// NIST SP 800-38A: F.1.1, F.2.1, F.4.1, F.5.1, two blocks, in pieces of three bytes.
    #[test]
    fn modes_are_those_of_the_standard() {
        let check = |mode: &str, iv: &str, expect: &str| {
            let plain = from_hex(PLAIN);
            let pieces: Vec<&[u8]> = plain.chunks(3).collect();
            let (sealed, _) = run(
                Direction::Encrypt,
                ("aes-128", mode),
                KEY,
                iv,
                &pieces,
                |_| (),
            )
            .unwrap();
            assert_eq!(sealed[..32], from_hex(expect), "{mode}");
            let pieces: Vec<&[u8]> = sealed.chunks(5).collect();
            let (opened, _) = run(
                Direction::Decrypt,
                ("aes-128", mode),
                KEY,
                iv,
                &pieces,
                |_| (),
            )
            .unwrap();
            assert_eq!(opened, plain, "{mode}");
        };
        let iv = "000102030405060708090a0b0c0d0e0f";
        check(
            "ecb",
            "",
            "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf",
        );
        check(
            "cbc",
            iv,
            "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2",
        );
        check(
            "ofb",
            iv,
            "3b3fd92eb72dad20333449f8e83cfb4a7789508d16918f03f53c52dac54ed825",
        );
        check(
            "ctr",
            "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
            "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff",
        );
    }

    /// NIST SP 800-67: the example of TDEA's three keys.
    #[test]
    fn triple_des_is_that_of_its_standard() {
        let key = "0123456789abcdef23456789abcdef01456789abcdef0123";
        let set = |cipher: &mut Cipher| {
            if let Mode::Padded(mode) = &mut cipher.mode {
                mode.is_padding = false;
            }
        };
        let plain = b"The qufck brown fox jump";
        let (sealed, _) = run(
            Direction::Encrypt,
            ("des-ede3", "ecb"),
            key,
            "",
            &[plain],
            set,
        )
        .unwrap();
        assert_eq!(
            sealed,
            from_hex("a826fd8ce53b855fcce21c8112256fe668d5c05dd9b6b900")
        );
    }

    /// McGrew and Viega's case 4, in pieces that fit no block.
    #[test]
    fn gcm_in_pieces_gives_the_tag_of_its_specification() {
        let key = "feffe9928665731c6d6a8f9467308308";
        let plain = from_hex(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
            1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        );
        let additional = from_hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let add = |cipher: &mut Cipher| {
            if let Mode::Gcm(gcm) = &mut cipher.mode {
                for piece in additional.chunks(7) {
                    gcm.additional_bytes += piece.len();
                    gcm.hashed(piece);
                }
            }
        };
        let pieces: Vec<&[u8]> = plain.chunks(11).collect();
        let iv = "cafebabefacedbaddecaf888";
        let (sealed, tag) = run(
            Direction::Encrypt,
            ("aes-128", "gcm"),
            key,
            iv,
            &pieces,
            add,
        )
        .unwrap();
        assert_eq!(tag.unwrap(), from_hex("5bc94fbc3221a5db94fae95ae7121a47"));
        assert_eq!(sealed[..4], from_hex("42831ec2"));
        let open = |tag: &str| {
            run(
                Direction::Decrypt,
                ("aes-128", "gcm"),
                key,
                iv,
                &[&sealed],
                |cipher| {
                    add(cipher);
                    if let Mode::Gcm(gcm) = &mut cipher.mode {
                        gcm.tag = Some(from_hex(tag));
                    }
                },
            )
        };
        assert_eq!(open("5bc94fbc3221a5db94fae95ae7121a47").unwrap().0, plain);
        assert_eq!(open("5bc94fbc").unwrap().0, plain);
        assert!(open("5bc94fbd").is_err());
    }

    /// RFC 3610, packet vector 1.
    #[test]
    fn ccm_is_that_of_its_rfc() {
        let key = "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf";
        let iv = "00000003020100a0a1a2a3a4a5";
        let plain = from_hex("08090a0b0c0d0e0f101112131415161718191a1b1c1d1e");
        let set = |tag: Option<Vec<u8>>| {
            move |cipher: &mut Cipher| {
                if let Mode::Whole(whole) = &mut cipher.mode {
                    whole.additional = from_hex("0001020304050607");
                    whole.tag = tag;
                }
            }
        };
        let (sealed, tag) = run(
            Direction::Encrypt,
            ("aes-128", "ccm"),
            key,
            iv,
            &[&plain],
            set(None),
        )
        .unwrap();
        let tag = tag.unwrap();
        assert_eq!(
            sealed,
            from_hex("588c979a61c663d2f066d0c2c0f989806d5f6b61dac384")
        );
        assert_eq!(tag, from_hex("17e8d12cfdf926e0"));
        let open = |tag: Vec<u8>| {
            run(
                Direction::Decrypt,
                ("aes-128", "ccm"),
                key,
                iv,
                &[&sealed],
                set(Some(tag)),
            )
        };
        assert_eq!(open(tag.clone()).unwrap().0, plain);
        let mut wrong = tag;
        wrong[0] ^= 1;
        assert_eq!(open(wrong).unwrap_err().class, "OperationError");
    }

    /// RFC 8439, 2.8.2.
    #[test]
    fn chacha_is_that_of_its_rfc() {
        let key = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f";
        let iv = "070000004041424344454647";
        let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip \
            for the future, sunscreen would be it.";
        let set = |tag: Option<Vec<u8>>| {
            move |cipher: &mut Cipher| {
                if let Mode::Whole(whole) = &mut cipher.mode {
                    whole.additional = from_hex("50515253c0c1c2c3c4c5c6c7");
                    whole.tag = tag;
                }
            }
        };
        let suite = ("chacha20", "poly1305");
        let (sealed, tag) = run(Direction::Encrypt, suite, key, iv, &[plain], set(None)).unwrap();
        let tag = tag.unwrap();
        assert_eq!(tag, from_hex("1ae10b594f09e26a7e902ecbd0600691"));
        let (opened, _) = run(
            Direction::Decrypt,
            suite,
            key,
            iv,
            &[&sealed],
            set(Some(tag)),
        )
        .unwrap();
        assert_eq!(opened, plain);
    }

    #[test]
    fn wrong_padding_is_refused_and_nothing_follows_the_end() {
        let iv = "000102030405060708090a0b0c0d0e0f";
        let (sealed, _) = run(
            Direction::Encrypt,
            ("aes-128", "cbc"),
            KEY,
            iv,
            &[b"abc"],
            |_| (),
        )
        .unwrap();
        assert_eq!(sealed.len(), 16);
        let other = "00000000000000000000000000000000";
        let open = |key: &str, data: &[u8]| {
            run(
                Direction::Decrypt,
                ("aes-128", "cbc"),
                key,
                iv,
                &[data],
                |_| (),
            )
        };
        assert_eq!(open(KEY, &sealed).unwrap().0, b"abc");
        assert_eq!(open(other, &sealed).unwrap_err().message, "bad decrypt");
        assert_eq!(
            open(KEY, &sealed[..15]).unwrap_err().message,
            "wrong final block length"
        );
        let mut cipher = Cipher::new(
            Direction::Encrypt,
            "aes-128",
            "ctr",
            &from_hex(KEY),
            from_hex(iv),
            None,
        )
        .unwrap();
        cipher.finish().unwrap();
        assert!(cipher.update(vec![1]).is_err());
        assert!(cipher.finish().is_err());
    }
}
