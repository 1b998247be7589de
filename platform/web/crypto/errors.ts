// The DOMExceptions of Web Cryptography, one maker each, so that call sites read like the standard.
//
// Invariant: nothing secret goes into a message; why a decryption failed is never told.

import { DOMException } from "../dom-exception.ts";

export function notSupported(message: string): DOMException {
  return new DOMException(message, "NotSupportedError");
}

export function syntaxError(message: string): DOMException {
  return new DOMException(message, "SyntaxError");
}

export function dataError(message: string): DOMException {
  return new DOMException(message, "DataError");
}

export function invalidAccess(message: string): DOMException {
  return new DOMException(message, "InvalidAccessError");
}

export function operationError(message: string): DOMException {
  return new DOMException(message, "OperationError");
}

/** No family of keys knows this format. */
export function unsupportedFormat(algorithm: string, format: string): DOMException {
  return notSupported(`${algorithm} keys have no format "${format}"`);
}
