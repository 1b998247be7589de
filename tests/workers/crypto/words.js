// What crypto.subtle says of wrong keys and parameters, in workerd's words: code for Workers tests for them.

import { fails } from "../kit/suite.js";

const { subtle } = crypto;
const bytes = (count) => new Uint8Array(count);
const aes = (name, usages, extractable = true) => subtle.importKey("raw", bytes(16), name, extractable, usages);
const k = "AAAAAAAAAAAAAAAAAAAAAA";
const fromJwk = (jwk, extractable = true) => subtle.importKey("jwk", jwk, "AES-GCM", extractable, ["encrypt"]);
const hmac = (data, more) => subtle.importKey("raw", data, { name: "HMAC", hash: "SHA-256", ...more }, false, ["sign"]);
const pbkdf2 = async (iterations, length) => {
  const key = await subtle.importKey("raw", bytes(3), "PBKDF2", false, ["deriveBits"]);
  return subtle.deriveBits({ name: "PBKDF2", salt: bytes(1), iterations, hash: "SHA-256" }, key, length);
};

async function table(rows) {
  for (const [work, name, message] of rows) await fails(work, { name, message: new RegExp(`^${RegExp.escape(message)}$`) });
}

export const words = {
  words_of_keys_that_do_not_fit: () =>
    table([
      [() => subtle.importKey("raw", bytes(3), "AES-GCM", false, ["encrypt"]), "DataError", "Imported AES key length must be 128, 192, or 256 bits but provided 24."],
      [() => subtle.generateKey({ name: "AES-GCM", length: 100 }, true, ["encrypt"]), "OperationError", "Generated AES key length must be 128, 192, or 256 bits but requested 100."],
      [() => aes("AES-GCM", []), "SyntaxError", "Secret/private CryptoKeys must have at least one usage."],
      [() => aes("AES-GCM", ["sign"]), "SyntaxError", 'Attempt to import secret AES-GCM key with invalid usage "sign".'],
      [() => subtle.generateKey({ name: "AES-GCM", length: 128 }, true, ["sign"]), "SyntaxError", 'Attempt to generate AES-GCM key with invalid usage "sign".'],
      [() => subtle.importKey("raw", bytes(16), "none", false, ["encrypt"]), "NotSupportedError", 'Unrecognized key import algorithm "none" requested.'],
      [() => subtle.generateKey("none", false, ["encrypt"]), "NotSupportedError", 'Unrecognized key generation algorithm "none" requested.'],
      [() => fromJwk({ kty: "RSA", k }), "DataError", 'Symmetric "jwk" key import requires a JSON Web Key with Key Type parameter "kty" equal to "oct" (encountered "RSA").'],
      [() => fromJwk({ kty: "oct", k, alg: "A256GCM" }), "DataError", 'Symmetric "jwk" key contains invalid "alg" value "A256GCM", expected "A128GCM".'],
      [() => fromJwk({ kty: "oct", k, ext: false }), "DataError", 'JWK ext field for "AES-GCM" is set to false but extractable is true'],
      [() => fromJwk({ kty: "oct", k, key_ops: ["decrypt"] }), "DataError", '"jwk" key missing usage "encrypt", in "key_ops".'],
      [() => hmac(bytes(0)), "DataError", "Imported HMAC key length (0) must be a non-zero value up to 7 bits less than, and no greater than, the bit length of the raw key data (0)."],
      [() => hmac(bytes(3), { length: 100 }), "DataError", "Imported HMAC key length (100) must be a non-zero value up to 7 bits less than, and no greater than, the bit length of the raw key data (24)."],
      [() => subtle.importKey("raw", bytes(3), "Ed25519", true, ["verify"]), "DataError", "Ed25519 raw keys must be exactly 32-bytes (provided 3)."],
      [async () => subtle.exportKey("raw", await aes("AES-GCM", ["encrypt"], false)), "InvalidAccessError", "Attempt to export non-extractable AES-GCM key."],
    ]),
  words_of_parameters_that_do_not_fit: () =>
    table([
      [() => subtle.digest("none", bytes(1)), "NotSupportedError", "Unrecognized or unimplemented digest algorithm requested."],
      [async () => subtle.encrypt("AES-GCM", await aes("AES-GCM", ["encrypt"]), bytes(1)), "TypeError", 'Missing field "iv" in "algorithm".'],
      [async () => subtle.encrypt({ name: "AES-CBC", iv: bytes(3) }, await aes("AES-CBC", ["encrypt"]), bytes(1)), "OperationError", "AES-CBC IV must be 16 bytes long (provided 3 bytes)."],
      [async () => subtle.encrypt({ name: "AES-CTR", counter: bytes(16), length: 1 }, await aes("AES-CTR", ["encrypt"]), bytes(200)), "OperationError", "Counter block values will repeat."],
      [async () => subtle.decrypt({ name: "AES-GCM", iv: bytes(12) }, await aes("AES-GCM", ["decrypt"]), bytes(1)), "OperationError", "Ciphertext length of 8 bits must be greater than or equal to the size of the AES-GCM tag length of 128 bits."],
      [async () => subtle.decrypt({ name: "AES-GCM", iv: bytes(12) }, await aes("AES-GCM", ["decrypt"]), bytes(20)), "OperationError", "Decryption failed. This could be due to a ciphertext authentication failure, bad padding, incorrect CryptoKey, or another algorithm-specific reason. Input length was 4, output length expected to be 4 for AES-GCM"],
      [async () => subtle.sign("HMAC", await aes("AES-GCM", ["encrypt"]), bytes(1)), "InvalidAccessError", 'Requested algorithm "HMAC" does not match this CryptoKey\'s algorithm "AES-GCM".'],
      [async () => subtle.decrypt({ name: "AES-GCM", iv: bytes(12) }, await aes("AES-GCM", ["encrypt"]), bytes(20)), "InvalidAccessError", 'Requested key usage "decrypt" does not match any usage listed in this CryptoKey.'],
      [() => pbkdf2(0, 128), "OperationError", "PBKDF2 requires a positive iteration count (requested 0)."],
      [() => pbkdf2(1, 5), "OperationError", "PBKDF2 requires a derived key length that is a multiple of eight (requested 5)."],
      [() => pbkdf2(1, null), "OperationError", "PBKDF2 cannot derive a key with null length."],
    ]),
};
