// "Normalizing an algorithm": from what a Worker gives to the operation it means, parameters bound.
//
// Each family declares its operations with `operation(parameters, work)`; `normalize` finds the one
// that an AlgorithmIdentifier names and converts its parameters, so that what it gives is a function
// of keys and data alone. Buffers in parameters are copied as they are read.
//
// Invariant: no user code runs between normalizing and the work.

import {
  DOMString,
  bufferSource,
  bytesCopy,
  dictionary,
  interfaceType,
  isObject,
  required,
} from "../webidl.ts";
import type { Converter, Dictionary, Member } from "../webidl.ts";
import { notSupported } from "./errors.ts";
import type { JsonWebKey } from "./jwk.ts";
import { isCryptoKey } from "./key.ts";
import type { CryptoKey, CryptoKeyPair, KeyFormat, KeySlots, KeyUsage } from "./key.ts";

/** Converts parameters; what it gives does the work. */
export type Operation<A extends unknown[], R> = (given: object, context: string) => (...args: A) => R;

type Cipher = Operation<[key: KeySlots, data: Uint8Array], Uint8Array>;

export interface Operations {
  digest: Operation<[data: Uint8Array], Uint8Array>;
  encrypt: Cipher;
  decrypt: Cipher;
  wrapKey: Cipher;
  unwrapKey: Cipher;
  sign: Cipher;
  verify: Operation<[key: KeySlots, signature: Uint8Array, data: Uint8Array], boolean>;
  deriveBits: Operation<[key: KeySlots, length: number | null], Uint8Array>;
  generateKey: Operation<[extractable: boolean, usages: KeyUsage[]], CryptoKey | CryptoKeyPair>;
  importKey: Operation<
    [format: KeyFormat, data: Uint8Array | JsonWebKey, extractable: boolean, usages: KeyUsage[]],
    CryptoKey
  >;
  /** "Get key length": null means as long as it comes. */
  keyLength: Operation<[], number | null>;
}

/** What one algorithm can do. */
export interface Algorithm extends Partial<Operations> {
  readonly name: string;
  exportKey?(format: KeyFormat, key: KeySlots): Uint8Array | JsonWebKey;
}

export interface Normalized<K extends keyof Operations> {
  readonly algorithm: Algorithm;
  readonly run: ReturnType<Operations[K]>;
}

export function operation<P, A extends unknown[], R>(
  parameters: Converter<P>,
  work: (parameters: P, ...args: A) => R,
): Operation<A, R> {
  return (given, context) => {
    const converted = parameters(given, context);
    return (...args) => work(converted, ...args);
  };
}

/** The dictionary `Algorithm`: parameters of what takes none. */
export const noParameters = dictionary("Algorithm", { name: required(DOMString) });

/** A dictionary of parameters: what is missing in one is said in workerd's words. */
export function parameterDictionary<M extends Record<string, Member<unknown>>, P extends object>(
  name: string,
  members: M,
  parent: Converter<P>,
): Converter<Dictionary<M> & P> {
  return dictionary(name, members, parent, (member) => `Missing field "${member}" in "algorithm".`);
}

export const bufferCopy: Converter<Uint8Array> = (value, context) => bytesCopy(bufferSource(value, context));

export const cryptoKey: Converter<CryptoKey> = interfaceType("CryptoKey", isCryptoKey);

/** `AlgorithmIdentifier`: a string stands for an object with that name. */
export const algorithmIdentifier: Converter<object> = (value, context) => {
  if (isObject(value)) return value;
  return { __proto__: null, name: DOMString(value, context) };
};

const NOT_ASCII = /[^\0-\x7f]/;

/** Names are compared without regard to the case of ASCII letters. */
export function canonicalName(name: string): string {
  return NOT_ASCII.test(name) ? name : name.toUpperCase();
}

/** The algorithms by canonical name. */
export type Registry = ReadonlyMap<string, Algorithm>;

/** The operation that `given` names, or undefined if there is none with that name. */
export function find<K extends keyof Operations>(
  registry: Registry,
  kind: K,
  given: object,
  context: string,
): Normalized<K> | undefined {
  const { name } = noParameters(given, `${context}: algorithm`);
  const algorithm = registry.get(canonicalName(name));
  const found = algorithm?.[kind];
  if (algorithm === undefined || found === undefined) return undefined;
  return { algorithm, run: found(given, `${context}: algorithm`) as Normalized<K>["run"] };
}

export function normalize<K extends keyof Operations>(
  registry: Registry,
  kind: K,
  given: object,
  context: string,
): Normalized<K> {
  const found = find(registry, kind, given, context);
  if (found === undefined) throw unrecognized(given, kind);
  return found;
}

function unrecognized(given: object, kind: string): Error {
  const { name } = noParameters(given, "algorithm");
  switch (kind) {
    case "digest":
      return notSupported("Unrecognized or unimplemented digest algorithm requested.");
    case "generateKey":
      return notSupported(`Unrecognized key generation algorithm "${name}" requested.`);
    case "importKey":
      return notSupported(`Unrecognized key import algorithm "${name}" requested.`);
    case "keyLength":
      return notSupported(`Unrecognized derived key type "${name}" requested.`);
    default:
      return notSupported(`Unrecognized or unimplemented algorithm "${name}" for ${kind}`);
  }
}
