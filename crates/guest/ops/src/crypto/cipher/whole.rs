//! The modes that take all of their data at once: CCM and ChaCha20-Poly1305.
//!
//! Invariant: nothing of a plaintext is given back before its tag was compared.

use super::modes::xor;
use super::{BLOCK_MAX, Blocks, Direction, failed};
use mayfly_engine::data::OpError;
use ring::aead::{Aad, LessSafeKey, Nonce};
use subtle::ConstantTimeEq;

/// CCM and ChaCha20-Poly1305: all of the data at once.
pub(super) struct Whole {
    pub(super) kind: WholeKind,
    pub(super) iv: Vec<u8>,
    pub(super) additional: Vec<u8>,
    pub(super) tag: Option<Vec<u8>>,
    pub(super) tag_bytes: usize,
    pub(super) was_used: bool,
}

pub(super) enum WholeKind {
    Ccm(Box<dyn Blocks>),
    ChaCha(Box<LessSafeKey>),
}

impl Whole {
    pub(super) fn update(
        &mut self,
        direction: Direction,
        bytes: Vec<u8>,
    ) -> Result<Vec<u8>, OpError> {
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
    pub(super) fn chacha(
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
pub(super) fn ccm(
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
