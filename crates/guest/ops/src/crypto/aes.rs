//! AES: CBC, CTR, GCM and key wrap, with the parameters that WebCrypto allows.
//!
//! The block cipher, GHASH and key wrap are crates'; the counter modes are put together here,
//! because WebCrypto wants counters of 1 to 128 bits and IVs of any length, which the crates' types
//! do not have. GCM as nearly everyone uses it (IV of 96 bits, whole tag) is ring's, whose assembly
//! does a megabyte several times faster.
//!
//! Invariant: nothing of a plaintext is given back before its tag was compared.

use ::aes::cipher::{
    Block, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, KeyInit, KeyIvInit,
    block_padding::Pkcs7,
};
use ::aes::{Aes128, Aes192, Aes256};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use mayfly_engine::data::{Args, Data, OpDecl, OpError, OpResult};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use subtle::ConstantTimeEq;

use super::{data_error, operation};
use crate::{HasOps, op};

const BLOCK_BYTES: usize = 16;

/// Blocks of keystream made at once: enough for the processor's AES units to work side by side.
const BATCH_BLOCKS: usize = 32;

/// Tags that GCM may have (NIST SP 800-38D, 5.2.1.2).
const TAG_BYTES: [usize; 7] = [4, 8, 12, 13, 14, 15, 16];

/// Plaintext that one GCM IV may cover: 2^32 - 2 blocks; data in memory is never that long.
const GCM_COUNTER_BITS: u32 = 32;

pub fn declarations<S: HasOps>() -> Vec<OpDecl<S>> {
    vec![
        op("cryptoAesCbc", aes_cbc::<S>),
        op("cryptoAesCtr", aes_ctr::<S>),
        op("cryptoAesGcm", aes_gcm::<S>),
        op("cryptoAesKw", aes_kw::<S>),
    ]
}

/// Runs `$body` with `$cipher` as AES of the key's size.
macro_rules! with_aes {
    ($key:expr, $cipher:ident => $body:expr) => {
        match $key.len() {
            16 => {
                type $cipher = Aes128;
                $body
            }
            24 => {
                type $cipher = Aes192;
                $body
            }
            32 => {
                type $cipher = Aes256;
                $body
            }
            other => Err(data_error(format!(
                "an AES key has 16, 24 or 32 bytes, not {other}"
            ))),
        }
    };
}

fn aes_cbc<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (encrypt, key) = (args.bool(0)?, args.bytes(1)?);
    let (iv, bytes) = (args.bytes(2)?, args.bytes(3)?);
    check_block("IV", &iv)?;
    let failed = || operation("AES-CBC failed");
    with_aes!(key, Aes => {
        if encrypt {
            let mode = cbc::Encryptor::<Aes>::new_from_slices(&key, &iv).map_err(|_| failed())?;
            Ok(Data::Bytes(mode.encrypt_padded_vec::<Pkcs7>(&bytes)))
        } else {
            let mode = cbc::Decryptor::<Aes>::new_from_slices(&key, &iv).map_err(|_| failed())?;
            mode.decrypt_padded_vec::<Pkcs7>(&bytes).map(Data::Bytes).map_err(|_| failed())
        }
    })
}

fn aes_ctr<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (key, counter) = (args.bytes(0)?, args.bytes(1)?);
    let (bits, mut bytes) = (args.u32(2)?, args.bytes(3)?);
    let start = check_block("counter", &counter)?;
    if bits == 0 || bits > u128::BITS {
        return Err(operation(format!(
            "a counter has 1 to 128 bits, not {bits}"
        )));
    }
    let blocks = bytes.len().div_ceil(BLOCK_BYTES) as u128;
    if bits < u128::BITS && blocks > 1 << bits {
        return Err(operation("Counter block values will repeat."));
    }
    with_aes!(key, Aes => {
        let cipher = Aes::new_from_slice(&key).map_err(|_| operation("AES-CTR failed"))?;
        apply_keystream(&cipher, start, bits, &mut bytes);
        Ok(Data::Bytes(bytes))
    })
}

fn check_block(what: &str, bytes: &[u8]) -> Result<u128, OpError> {
    let block: Result<[u8; BLOCK_BYTES], _> = bytes.try_into();
    let wrong = |_| {
        operation(format!(
            "the {what} must have 16 bytes, not {}",
            bytes.len()
        ))
    };
    block.map(u128::from_be_bytes).map_err(wrong)
}

/// XORs the keystream that begins at `counter`, whose low `bits` count, into `bytes`.
fn apply_keystream<C: BlockCipherEncrypt<BlockSize = cbc::cipher::consts::U16>>(
    cipher: &C,
    counter: u128,
    bits: u32,
    bytes: &mut [u8],
) {
    let low = u128::MAX >> (u128::BITS - bits);
    let mut count = counter & low;
    let mut stream = [Block::<C>::default(); BATCH_BLOCKS];
    for batch in bytes.chunks_mut(BATCH_BLOCKS * BLOCK_BYTES) {
        let blocks = &mut stream[..batch.len().div_ceil(BLOCK_BYTES)];
        for block in blocks.iter_mut() {
            block.copy_from_slice(&((counter & !low) | count).to_be_bytes());
            count = count.wrapping_add(1) & low;
        }
        cipher.encrypt_blocks(blocks);
        // Whole blocks as numbers: byte by byte this loop would cost more than the cipher.
        let (whole, rest) = batch.as_chunks_mut::<BLOCK_BYTES>();
        let (last, blocks) = match rest.is_empty() {
            true => (None, &*blocks),
            false => (blocks.last(), &blocks[..whole.len()]),
        };
        for (block, key) in whole.iter_mut().zip(blocks) {
            let stream = u128::from_ne_bytes((*key).into());
            *block = (u128::from_ne_bytes(*block) ^ stream).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(last.into_iter().flatten()) {
            *byte ^= key;
        }
    }
}

fn aes_gcm<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (encrypt, key) = (args.bool(0)?, args.bytes(1)?);
    let (iv, additional) = (args.bytes(2)?, args.bytes(3)?);
    let (tag_bytes, mut bytes) = (args.u32(4)? as usize, args.bytes(5)?);
    if let Some(gcm) = usual_gcm(&key, &iv, tag_bytes) {
        return gcm.apply(encrypt, &additional, bytes);
    }
    if !TAG_BYTES.contains(&tag_bytes) {
        return Err(operation(format!(
            "AES-GCM has no tag of {tag_bytes} bytes"
        )));
    }
    with_aes!(key, Aes => {
        let cipher = Aes::new_from_slice(&key).map_err(|_| operation("AES-GCM failed"))?;
        let gcm = Gcm::new(&cipher, &iv);
        if encrypt {
            gcm.apply(&mut bytes);
            let tag = gcm.tag(&additional, &bytes);
            bytes.extend_from_slice(&tag[..tag_bytes]);
            return Ok(Data::Bytes(bytes));
        }
        let length = bytes.len().checked_sub(tag_bytes);
        let length = length.ok_or_else(|| operation("the data is shorter than its tag"))?;
        let given = bytes.split_off(length);
        let tag = gcm.tag(&additional, &bytes);
        if !bool::from(tag[..tag_bytes].ct_eq(&given)) {
            return Err(operation("decryption failed"));
        }
        gcm.apply(&mut bytes);
        Ok(Data::Bytes(bytes))
    })
}

/// GCM with the parameters that ring has, ready to be applied once.
struct UsualGcm {
    key: LessSafeKey,
    nonce: Nonce,
}

fn usual_gcm(key: &[u8], iv: &[u8], tag_bytes: usize) -> Option<UsualGcm> {
    let algorithm = match key.len() {
        16 => &AES_128_GCM,
        32 => &AES_256_GCM,
        _ => return None,
    };
    if tag_bytes != algorithm.tag_len() {
        return None;
    }
    let nonce = Nonce::try_assume_unique_for_key(iv).ok()?;
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
    Some(UsualGcm { key, nonce })
}

impl UsualGcm {
    fn apply(self, encrypt: bool, additional: &[u8], mut bytes: Vec<u8>) -> OpResult {
        let additional = Aad::from(additional);
        if encrypt {
            let tag = self
                .key
                .seal_in_place_separate_tag(self.nonce, additional, &mut bytes)
                .map_err(|_| operation("encryption failed"))?;
            bytes.extend_from_slice(tag.as_ref());
            return Ok(Data::Bytes(bytes));
        }
        let length = self
            .key
            .open_in_place(self.nonce, additional, &mut bytes)
            .map_err(|_| operation("decryption failed"))?
            .len();
        bytes.truncate(length);
        Ok(Data::Bytes(bytes))
    }
}

/// GCM as NIST SP 800-38D section 7 has it.
struct Gcm<'c, C> {
    cipher: &'c C,
    /// The hash, keyed and empty.
    hash: GHash,
    /// The block before the first counter: step 2's `J0`.
    first: u128,
}

impl<'c, C: BlockCipherEncrypt<BlockSize = cbc::cipher::consts::U16>> Gcm<'c, C> {
    fn new(cipher: &'c C, iv: &[u8]) -> Self {
        let mut key = Block::<C>::default();
        cipher.encrypt_block(&mut key);
        let hash = GHash::new(&key);
        let first = match <[u8; 12]>::try_from(iv) {
            Ok(iv) => {
                let mut block = [0; BLOCK_BYTES];
                block[..iv.len()].copy_from_slice(&iv);
                u128::from_be_bytes(block) | 1
            }
            Err(_) => {
                let mut hash = hash.clone();
                hash.update_padded(iv);
                hash.update(&[lengths(0, iv.len())]);
                u128::from_be_bytes(hash.finalize().into())
            }
        };
        Self {
            cipher,
            hash,
            first,
        }
    }

    fn apply(&self, bytes: &mut [u8]) {
        let low = u128::from(u32::MAX);
        let second = (self.first & !low) | (self.first.wrapping_add(1) & low);
        apply_keystream(self.cipher, second, GCM_COUNTER_BITS, bytes);
    }

    fn tag(&self, additional: &[u8], ciphertext: &[u8]) -> [u8; BLOCK_BYTES] {
        let mut hash = self.hash.clone();
        hash.update_padded(additional);
        hash.update_padded(ciphertext);
        hash.update(&[lengths(additional.len(), ciphertext.len())]);
        let mut tag: [u8; BLOCK_BYTES] = hash.finalize().into();
        apply_keystream(self.cipher, self.first, GCM_COUNTER_BITS, &mut tag);
        tag
    }
}

/// Two lengths in bits, as the hash's last block.
fn lengths(first: usize, second: usize) -> ghash::Block {
    let bits = (first as u128 * 8) << 64 | (second as u128 * 8);
    bits.to_be_bytes().into()
}

fn aes_kw<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (wrap, key, bytes) = (args.bool(0)?, args.bytes(1)?, args.bytes(2)?);
    with_aes!(key, Aes => {
        let failed = |_| operation("AES-KW failed");
        let cipher = aes_kw::AesKw::<Aes>::new_from_slice(&key)
            .map_err(|_| operation("AES-KW failed"))?;
        // Room for the eight bytes that wrapping adds; what comes back is a part of it.
        let mut room = vec![0; bytes.len() + 8];
        let result = match wrap {
            true => cipher.wrap_key(&bytes, &mut room),
            false => cipher.unwrap_key(&bytes, &mut room),
        };
        result.map(|done| Data::Bytes(done.to_vec())).map_err(failed)
    })
}

#[cfg(test)]
mod tests {
    use super::super::from_hex;
    use super::*;
    use crate::OpsState;
    use crate::testing::{bytes, call};

    fn hex(text: &str) -> Data {
        bytes(from_hex(text))
    }

    fn run(name: &str, args: Vec<Data>) -> OpResult {
        call(&mut OpsState::new(), name, args)
    }

    const KEY: &str = "2b7e151628aed2a6abf7158809cf4f3c";
    const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172a";

    /// NIST SP 800-38A, F.2.1 and F.5.1, first blocks.
    #[test]
    fn blocks_of_the_standard_come_out() {
        let iv = "000102030405060708090a0b0c0d0e0f";
        let args = vec![Data::Bool(true), hex(KEY), hex(iv), hex(PLAIN)];
        let Data::Bytes(found) = run("cryptoAesCbc", args).unwrap() else {
            panic!("not bytes");
        };
        assert_eq!(found[..16], from_hex("7649abac8119b246cee98e9b12e9197d"));
        let args = vec![Data::Bool(false), hex(KEY), hex(iv), bytes(&found)];
        assert_eq!(run("cryptoAesCbc", args), Ok(hex(PLAIN)));
        let args = vec![Data::Bool(false), hex(KEY), hex(iv), bytes(&found[..16])];
        assert_eq!(
            run("cryptoAesCbc", args).unwrap_err().class,
            "OperationError"
        );
        let counter = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
        let args = vec![hex(KEY), counter, Data::Number(128.0), hex(PLAIN)];
        assert_eq!(
            run("cryptoAesCtr", args),
            Ok(hex("874d6191b620e3261bef6864990db6ce"))
        );
    }

    #[test]
    fn a_short_counter_wraps_without_touching_the_rest() {
        let ctr = |counter: &str, bits: f64, count: usize| {
            let zeros = bytes(vec![0; count]);
            run(
                "cryptoAesCtr",
                vec![hex(KEY), hex(counter), Data::Number(bits), zeros],
            )
        };
        let both = ctr("000000000000000000000000000000ff", 8.0, 32).unwrap();
        let first = ctr("000000000000000000000000000000ff", 128.0, 16).unwrap();
        let second = ctr("00000000000000000000000000000000", 128.0, 16).unwrap();
        let (Data::Bytes(both), Data::Bytes(first), Data::Bytes(second)) = (both, first, second)
        else {
            panic!("not bytes");
        };
        assert_eq!(both, [first, second].concat());
        assert!(ctr("00000000000000000000000000000000", 1.0, 33).is_err());
        assert!(ctr("00000000000000000000000000000000", 129.0, 1).is_err());
        // More than one batch is the same stream.
        let long = ctr("00000000000000000000000000000000", 64.0, 2_000).unwrap();
        let tail = ctr("00000000000000000000000000000078", 64.0, 80).unwrap();
        let (Data::Bytes(long), Data::Bytes(tail)) = (long, tail) else {
            panic!("not bytes");
        };
        assert_eq!(long[1_920..], tail);
    }

    /// McGrew and Viega's cases 4 (an IV of 12 bytes), 5 (of 8) and 6 (of 60).
    #[test]
    fn gcm_gives_the_tags_of_its_specification() {
        let key = "feffe9928665731c6d6a8f9467308308";
        let plain = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
            1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
        let additional = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
        let long = "9313225df88406e555909c5aff5269aa6a7a9538534f7da1e4c303d2a318a728\
            c3c0c95156809539fcf0e2429a6b525416aedbf5a0de6a57a637b39b";
        let check = |iv: &str, tag: &str| {
            let gcm = |encrypt: bool, data: Data| {
                let args = vec![
                    Data::Bool(encrypt),
                    hex(key),
                    hex(iv),
                    hex(additional),
                    Data::Number(16.0),
                    data,
                ];
                run("cryptoAesGcm", args)
            };
            let Data::Bytes(mut sealed) = gcm(true, hex(plain)).unwrap() else {
                panic!("not bytes");
            };
            assert_eq!(sealed[60..], from_hex(tag), "{iv}");
            assert_eq!(gcm(false, bytes(&sealed)), Ok(hex(plain)));
            sealed[0] ^= 1;
            let refused = gcm(false, bytes(&sealed)).unwrap_err();
            assert_eq!(refused.message, "decryption failed");
        };
        check(
            "cafebabefacedbaddecaf888",
            "5bc94fbc3221a5db94fae95ae7121a47",
        );
        check("cafebabefacedbad", "3612d2e79e3b0785561be14aaca2fccb");
        check(long, "619cc5aefffe0bfa462af43c1699d050");
    }

    /// RFC 3394, 4.1.
    #[test]
    fn keys_are_wrapped_and_unwrapped() {
        let kek = "000102030405060708090a0b0c0d0e0f";
        let key = "00112233445566778899aabbccddeeff";
        let wrapped = "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5";
        let kw = |wrap: bool, data: &str| {
            run("cryptoAesKw", vec![Data::Bool(wrap), hex(kek), hex(data)])
        };
        assert_eq!(kw(true, key), Ok(hex(wrapped)));
        assert_eq!(kw(false, wrapped), Ok(hex(key)));
        assert!(kw(false, &wrapped.replace("1fa6", "0000")).is_err());
        assert!(kw(true, "00").is_err());
        let args = vec![Data::Bool(true), hex("00"), hex(key)];
        assert_eq!(run("cryptoAesKw", args).unwrap_err().class, "DataError");
    }
}
