//! Vectors of the standards, and the same in pieces.

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
