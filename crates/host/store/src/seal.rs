//! What the host writes for itself and a guest keeps: sealed, so that nobody else can make, change or read it.
//!
//! AES-256-GCM. The nonce is made of what is sealed, so that one text is sealed alike every time and two texts
//! meet in a nonce as seldom as 96 bits do by chance (the idea of RFC 8452, without its cipher).
//!
//! Invariant: what opens was sealed with this key and not changed since.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::Sha256;

/// Seals and opens.
pub struct Sealer {
    cipher: LessSafeKey,
    for_nonces: [u8; 32],
}

impl Sealer {
    /// With a secret of any length.
    pub fn new(secret: &[u8]) -> Self {
        let key = mac(secret, &[b"sealing"]);
        let cipher = UnboundKey::new(&AES_256_GCM, &key).expect("the key has the cipher's length");
        Self {
            cipher: LessSafeKey::new(cipher),
            for_nonces: mac(secret, &[b"nonces"]),
        }
    }

    /// The nonce, and `said` in the cipher.
    pub fn seal(&self, said: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = std::array::from_fn({
            let mac = mac(&self.for_nonces, &[said]);
            move |index| mac[index]
        });
        let mut sealed = nonce.to_vec();
        let mut bytes = said.to_vec();
        self.cipher
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::empty(),
                &mut bytes,
            )
            .expect("a text in memory is shorter than the cipher's 64 GiB");
        sealed.append(&mut bytes);
        sealed
    }

    /// What was sealed; `None` where it was not, or is not what it was.
    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, bytes) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = bytes.to_vec();
        let said = self.cipher.open_in_place(nonce, Aad::empty(), &mut bytes);
        let length = said.ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_can_be_opened_and_nothing_else() {
        let sealer = Sealer::new(b"secret");
        for said in [&b""[..], b"a", &[7; 1000]] {
            let sealed = sealer.seal(said);
            assert_eq!(sealed, sealer.seal(said));
            assert_eq!(sealer.open(&sealed).as_deref(), Some(said));
            assert_eq!(Sealer::new(b"other").open(&sealed), None);
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert_eq!(sealer.open(&changed), None);
                assert_eq!(sealer.open(&sealed[..at]), None);
            }
        }
    }

    #[test]
    fn nothing_of_a_text_can_be_read() {
        let sealed = Sealer::new(b"secret").seal(b"a text that somebody could read");
        assert!(!sealed.windows(4).any(|part| part == b"text"));
    }
}
