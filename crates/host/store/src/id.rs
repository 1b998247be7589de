//! Ids of Durable Objects: 32 bytes of which the second half vouches for the first.
//!
//! The first 16 bytes are random or made of a name, the last of them says the jurisdiction; the other
//! 16 are an HMAC of these with the namespace's key. So an id of one namespace is none of another, and
//! a string that was made up is none at all. `platform/cloudflare/actors/id.ts` computes the same.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Bytes of a namespace's key.
pub const KEY_BYTES: usize = 32;

/// Bytes of the half that an id is about.
const BASE_BYTES: usize = 16;

/// An id that belongs to the namespace it was checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId([u8; 32]);

impl ObjectId {
    /// The id, if `bytes` is one of the namespace with `key`.
    pub fn check(bytes: &[u8], key: &[u8; KEY_BYTES]) -> Option<Self> {
        let bytes: [u8; 32] = bytes.try_into().ok()?;
        let (base, tail) = bytes.split_at(BASE_BYTES);
        (mac(key, base)[..BASE_BYTES] == *tail).then_some(Self(bytes))
    }

    /// Whether it belongs to the namespace with `key`.
    pub fn is_in(&self, key: &[u8; KEY_BYTES]) -> bool {
        Self::check(&self.0, key).is_some()
    }

    /// Whether the id was made of `name`.
    pub fn is_of(&self, name: &str, key: &[u8; KEY_BYTES]) -> bool {
        let made = mac(key, name.as_bytes());
        // The last byte of the base is the jurisdiction's.
        made[..BASE_BYTES - 1] == self.0[..BASE_BYTES - 1]
    }

    /// The id of a name, without a jurisdiction.
    pub fn of_name(name: &str, key: &[u8; KEY_BYTES]) -> Self {
        let mut bytes = [0; 32];
        bytes[..BASE_BYTES - 1].copy_from_slice(&mac(key, name.as_bytes())[..BASE_BYTES - 1]);
        let tail = mac(key, &bytes[..BASE_BYTES]);
        bytes[BASE_BYTES..].copy_from_slice(&tail[..BASE_BYTES]);
        Self(bytes)
    }

    /// From 64 hexadecimal digits, unchecked against any namespace: for what the host wrote itself.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// Its 32 bytes.
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// 64 lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

fn mac(key: &[u8; KEY_BYTES], bytes: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

/// SHA-256 of parts that cannot run into each other.
pub fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_belong_to_one_namespace_and_one_name() {
        let (key, other) = ([1; 32], [2; 32]);
        let id = ObjectId::of_name("a", &key);
        assert_eq!(ObjectId::check(&id.0, &key), Some(id));
        assert_eq!(ObjectId::check(&id.0, &other), None);
        assert!(id.is_of("a", &key));
        assert!(!id.is_of("b", &key));
        assert_eq!(ObjectId::from_hex(&id.hex()), Some(id));
    }

    #[test]
    fn what_is_made_up_is_no_id() {
        let key = [1; 32];
        for bytes in [&[][..], &[0; 31], &[0; 32], &[255; 33]] {
            assert_eq!(ObjectId::check(bytes, &key), None);
        }
        for text in ["", "../x", &"g".repeat(64), &"\u{1f41d}".repeat(16)] {
            assert_eq!(ObjectId::from_hex(text), None);
        }
    }
}
