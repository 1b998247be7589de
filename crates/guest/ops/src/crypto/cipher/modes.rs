//! The modes that take their data in pieces, over any block cipher: ECB and CBC with their padding, the
//! keystreams, GCM.
//!
//! Invariant: what has gone out was of whole blocks, or of a keystream.

use super::{BLOCK_MAX, Blocks, Direction, failed};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use mayfly_engine::data::OpError;

/// ECB and CBC: whole blocks, and padding at the end.
pub(super) struct Padded {
    pub(super) cipher: Box<dyn Blocks>,
    /// CBC's last ciphertext block; none is ECB.
    pub(super) chain: Option<Vec<u8>>,
    /// What is not a whole block yet; when decrypting with padding also the last whole block.
    pub(super) held: Vec<u8>,
    pub(super) is_padding: bool,
}

impl Padded {
    pub(super) fn apply(&mut self, direction: Direction, bytes: &mut [u8]) {
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

    pub(super) fn update(&mut self, direction: Direction, bytes: &[u8]) -> Vec<u8> {
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

    pub(super) fn finish(mut self, direction: Direction) -> Result<Vec<u8>, OpError> {
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

pub(super) fn xor(bytes: &mut [u8], key: &[u8]) {
    for (byte, key) in bytes.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// CTR, OFB and the inside of GCM: a stream of bytes to XOR with.
pub(super) struct Keystream {
    pub(super) cipher: Box<dyn Blocks>,
    pub(super) kind: Stream,
    /// The counter block, or OFB's last output.
    pub(super) block: Vec<u8>,
    /// What of the last block was not used yet.
    pub(super) left: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// The whole block counts.
    Ctr,
    /// The last 32 bits count.
    Gcm,
    Ofb,
}

impl Keystream {
    pub(super) fn new(cipher: Box<dyn Blocks>, kind: Stream, block: Vec<u8>) -> Self {
        Self {
            cipher,
            kind,
            block,
            left: Vec::new(),
        }
    }

    pub(super) fn next_block(&mut self) -> Vec<u8> {
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

    pub(super) fn apply(&mut self, mut bytes: &mut [u8]) {
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
pub(super) struct Gcm {
    pub(super) stream: Keystream,
    pub(super) hash: GHash,
    /// Ciphertext or additional data that is not a whole block of the hash yet.
    pub(super) part: Vec<u8>,
    pub(super) additional_bytes: usize,
    pub(super) data_bytes: usize,
    /// What the hash is XORed with at the end.
    pub(super) mask: Vec<u8>,
    /// The tag to compare with, of a decryption; its length, of an encryption.
    pub(super) tag: Option<Vec<u8>>,
    pub(super) tag_bytes: Option<usize>,
}

impl Gcm {
    pub(super) fn new(cipher: Box<dyn Blocks>, iv: &[u8], tag_bytes: Option<usize>) -> Self {
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

    pub(super) fn hashed(&mut self, bytes: &[u8]) {
        self.part.extend_from_slice(bytes);
        let whole = self.part.len() - self.part.len() % BLOCK_MAX;
        let rest = self.part.split_off(whole);
        self.hash.update_padded(&self.part);
        self.part = rest;
    }

    /// Fills the hash's block with zeros.
    pub(super) fn seam(&mut self) {
        let part = std::mem::take(&mut self.part);
        self.hash.update_padded(&part);
    }

    pub(super) fn update(&mut self, direction: Direction, bytes: &mut [u8]) {
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

    pub(super) fn whole_tag(mut self) -> Vec<u8> {
        self.seam();
        let mut hash = self.hash;
        hash.update(&[lengths(self.additional_bytes, self.data_bytes)]);
        let mut tag = hash.finalize().to_vec();
        xor(&mut tag, &self.mask);
        tag
    }
}

/// Two lengths in bits, as the hash's last block.
pub(super) fn lengths(first: usize, second: usize) -> ghash::Block {
    let bits = (first as u128 * 8) << 64 | (second as u128 * 8);
    bits.to_be_bytes().into()
}
