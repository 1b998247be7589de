//! Checksums of what streams by: MD5, which is also the etag, and the one that a put asked for.

use md5::Md5;
use sha1::Sha1;
use sha2::digest::Output;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::asked::{Checksums, R2Error};

/// Checksums under way.
pub struct Digests {
    md5: Md5,
    sha1: Option<Sha1>,
    sha256: Option<Sha256>,
    sha384: Option<Sha384>,
    sha512: Option<Sha512>,
}

impl Digests {
    /// Those that `asked` names.
    pub fn new(asked: &Checksums) -> Self {
        Self {
            md5: Md5::new(),
            sha1: asked.sha1.as_ref().map(|_| Sha1::new()),
            sha256: asked.sha256.as_ref().map(|_| Sha256::new()),
            sha384: asked.sha384.as_ref().map(|_| Sha384::new()),
            sha512: asked.sha512.as_ref().map(|_| Sha512::new()),
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        update(&mut self.sha1, bytes);
        update(&mut self.sha256, bytes);
        update(&mut self.sha384, bytes);
        update(&mut self.sha512, bytes);
    }

    /// What they came to, MD5 always, if that is what was asked for.
    pub fn finish(self, asked: &Checksums) -> Result<(String, Checksums), R2Error> {
        let md5 = hex(&self.md5.finalize());
        compare("MD5", asked.md5.as_deref(), Some(&md5))?;
        let sums = Checksums {
            md5: Some(md5.clone()),
            sha1: self.sha1.map(finish),
            sha256: self.sha256.map(finish),
            sha384: self.sha384.map(finish),
            sha512: self.sha512.map(finish),
        };
        compare("SHA-1", asked.sha1.as_deref(), sums.sha1.as_deref())?;
        compare("SHA-256", asked.sha256.as_deref(), sums.sha256.as_deref())?;
        compare("SHA-384", asked.sha384.as_deref(), sums.sha384.as_deref())?;
        compare("SHA-512", asked.sha512.as_deref(), sums.sha512.as_deref())?;
        Ok((md5, sums))
    }
}

/// The etag of an object made of parts: the MD5 of their MD5s, and how many.
pub fn etag_of_parts<'a>(parts: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = parts.len();
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(unhex(part));
    }
    format!("{}-{count}", hex(&md5.finalize()))
}

fn update<D: Digest>(digest: &mut Option<D>, bytes: &[u8]) {
    if let Some(digest) = digest {
        digest.update(bytes);
    }
}

fn finish<D: Digest>(digest: D) -> String {
    let output: Output<D> = digest.finalize();
    hex(&output)
}

fn compare(name: &str, asked: Option<&str>, actual: Option<&str>) -> Result<(), R2Error> {
    match (asked, actual) {
        (Some(asked), Some(actual)) if !asked.eq_ignore_ascii_case(actual) => Err(
            R2Error::bad_digest(name, &asked.to_ascii_lowercase(), actual),
        ),
        _ => Ok(()),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Digits that [`hex`] wrote.
fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .filter_map(|pair| match pair {
            [high, low] => Some(digit(*high) << 4 | digit(*low)),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sums_come_out_and_wrong_ones_are_named() {
        let asked = Checksums {
            sha1: Some("A9993E364706816ABA3E25717850C26C9CD0D89D".to_owned()),
            ..Checksums::default()
        };
        let mut digests = Digests::new(&asked);
        digests.update(b"a");
        digests.update(b"bc");
        let (md5, sums) = digests.finish(&asked).unwrap();
        assert_eq!(md5, "900150983cd24fb0d6963f7d28e17f72");
        let sha1 = sums.sha1.as_deref();
        assert_eq!(sha1, Some("a9993e364706816aba3e25717850c26c9cd0d89d"));
        assert_eq!(sums.sha256, None);
        let error = Digests::new(&asked).finish(&asked).unwrap_err();
        assert_eq!(error.code, 10037);
        assert!(error.message.contains("SHA-1"), "{}", error.message);
    }

    #[test]
    fn the_etag_of_parts_is_that_of_s3() {
        // md5 of the bytes of md5("a") and md5("b").
        let parts = [
            "0cc175b9c0f1b6a831c399e269772661",
            "92eb5ffee6ae2fec3ad71c777531578f",
        ];
        let etag = etag_of_parts(parts.into_iter());
        assert_eq!(etag, "96e024ba2074fe77e8e965ba43a704be-2");
    }
}
