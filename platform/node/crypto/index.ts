// node:crypto: the module.
//
// Deliberately absent: engines and FIPS mode as something to be chosen, and the ciphers with a
// password of their own (`createCipher`), which Node.js has removed.
//
// Invariant: `webcrypto` and `subtle` are those of the global object.

import { has } from "../../cloudflare/compat.ts";
import { CryptoKey, crypto as webcrypto } from "../../web/crypto.ts";
import { refusing } from "../checks.ts";
import { DiffieHellman, DiffieHellmanGroup, ECDH, createDiffieHellman, createDiffieHellmanGroup, createECDH, diffieHellman } from "./agree.ts";
import { Cipheriv, Decipheriv, createCipheriv, createDecipheriv, getCipherInfo, getCiphers, privateDecrypt, privateEncrypt, publicDecrypt, publicEncrypt } from "./cipher.ts";
import { constants } from "./constants.ts";
import { hkdf, hkdfSync, pbkdf2, pbkdf2Sync, scrypt, scryptSync } from "./derive.ts";
import { Hash, Hmac, createHash, createHmac, hash } from "./hash.ts";
import { KeyObject, PrivateKeyObject, PublicKeyObject, SecretKeyObject, createPrivateKey, createPublicKey, createSecretKey, generateKey, generateKeyPair, generateKeyPairSync, generateKeySync } from "./keys.ts";
import { checkPrime, checkPrimeSync, generatePrime, generatePrimeSync, randomBytes, randomFill, randomFillSync, randomInt, randomUUID, timingSafeEqual } from "./random.ts";
import { Sign, Verify, createSign, createVerify, sign, verify } from "./sign.ts";
import { Certificate } from "./spkac.ts";
import { X509Certificate } from "./x509.ts";

const HASHES = [
  "md4", "md5", "sha1", "sha224", "sha256", "sha384", "sha512", "md5-sha1", "RSA-MD5", "RSA-SHA1", "RSA-SHA224", "RSA-SHA256",
  "RSA-SHA384", "RSA-SHA512", "DSA-SHA", "DSA-SHA1", "ecdsa-with-SHA1",
];

/** What it says is what Workers say, whose library is in that mode. */
const FIPS = true;

const members: Record<string, unknown> = {
  Certificate,
  Cipheriv,
  CryptoKey,
  Decipheriv,
  DiffieHellman,
  DiffieHellmanGroup,
  ECDH,
  Hash,
  Hmac,
  KeyObject,
  PrivateKeyObject,
  PublicKeyObject,
  SecretKeyObject,
  Sign,
  Verify,
  X509Certificate,
  checkPrime,
  checkPrimeSync,
  constants,
  createCipheriv,
  createDecipheriv,
  createDiffieHellman,
  createDiffieHellmanGroup,
  createECDH,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  createSign,
  createVerify,
  diffieHellman,
  fips: FIPS,
  generateKey,
  generateKeyPair,
  generateKeyPairSync,
  generateKeySync,
  generatePrime,
  generatePrimeSync,
  getCipherInfo,
  getCiphers,
  getCurves: () => ["secp224r1", "prime256v1", "secp384r1", "secp521r1"],
  getDiffieHellman: createDiffieHellmanGroup,
  getFips: () => FIPS,
  getHashes: () => [...HASHES],
  getRandomValues: (array: ArrayBufferView) => webcrypto.getRandomValues(array),
  hash,
  hkdf,
  hkdfSync,
  pbkdf2,
  pbkdf2Sync,
  privateDecrypt,
  privateEncrypt,
  pseudoRandomBytes: randomBytes,
  publicDecrypt,
  publicEncrypt,
  randomBytes,
  randomFill,
  randomFillSync,
  randomInt,
  randomUUID,
  scrypt,
  scryptSync,
  secureHeapUsed: () => ({ total: 0, used: 0, utilization: 0, min: 0 }),
  setEngine: refusing("setEngine"),
  setFips: refusing("setFips"),
  sign,
  subtle: webcrypto.subtle,
  timingSafeEqual,
  verify,
  webcrypto,
};

/** Gone from Node.js 22; as functions that refuse until a Worker's date is past that. */
const OLD = ["createCipher", "createDecipher", "Cipher", "Decipher"];

let made: Record<string, unknown> | undefined;

export function cryptoModule(): Record<string, unknown> {
  if (made !== undefined) return made;
  const old = Object.fromEntries(OLD.map((name) => [name, has("remove_nodejs_compat_eol_v22") ? undefined : refusing(name)]));
  const all: Record<string, unknown> = { ...members, ...old };
  const whole = { ...all };
  Object.defineProperty(whole, "fips", {
    get: () => FIPS,
    set: refusing("setFips"),
    enumerable: true,
    configurable: true,
  });
  return (made = { ...all, default: whole });
}
