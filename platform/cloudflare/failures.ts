// Errors to `Failure` frames and back.
//
// A failure has a name, a message and a stack for anyone, and the thrown value in the codec for a
// receiver that is a platform like this one: own properties, `cause`, and throws of non-errors
// survive that way. What of an error cannot be encoded is left out; failing must not fail.
//
// Invariant: an error that arrives from another Worker has `remote: true`.

import type { Failure, FailureKind, Payload } from "../ops.ts";
import { addBudget, domException, remoteStack, stackOf } from "./errors.ts";
import { decode } from "./rpc/decode.ts";
import type { DecodeHost } from "./rpc/decode.ts";
import { encode } from "./rpc/encode.ts";
import type { EncodeHost } from "./rpc/encode.ts";
import { MalformedError } from "./rpc/bytes.ts";
import { Tag } from "./rpc/tags.ts";

/** Bytes of a thrown value that travel with its failure. */
const VALUE_BYTES_MAX = 64 * 1024;

/** What the engine throws, a bare string, where an allocation is too large; others throw a RangeError. */
const OUT_OF_MEMORY = "out of memory";

const NO_VALUE: Payload = { bytes: new Uint8Array(0), attachments: [] };

/** Names that the language has constructors for; any other is a DOMException's or a user's. */
const NATIVE = new Map<string, new (message: string) => Error>(
  [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((maker) => [maker.name, maker]),
);

export function failureOf(given: unknown, kind: FailureKind = "exception"): Failure {
  const thrown = given === OUT_OF_MEMORY ? new RangeError("Out of memory") : given;
  const [name, message, stack] = words(thrown);
  return { kind, name, message, stack, value: valueOf(thrown), budget: undefined };
}

export function errorOf(failure: Failure): unknown {
  const { kind, name, message, stack, value, budget } = failure;
  if (kind === "exception" && value.bytes.length > 0) {
    try {
      return markRemote(decode(value.bytes, plainOnly));
    } catch {
      // Not from a platform like this one; the words remain.
    }
  }
  const maker = NATIVE.get(name);
  const error = maker !== undefined ? new maker(message) : name === "" ? new Error(message) : domException(message, name);
  if (stack !== "") setHidden(error, "stack", remoteStack(error, stack));
  if (budget !== undefined) addBudget(error, budget.name, budget.value, budget.limit);
  return kind === "exception" ? markRemote(error) : error;
}

function words(thrown: unknown): [name: string, message: string, stack: string] {
  try {
    if (typeof thrown === "object" && thrown !== null && "message" in thrown) {
      const { name, message } = thrown as Partial<Error>;
      return [String(name ?? "Error"), String(message ?? ""), stackOf(thrown)];
    }
    return ["Error", String(thrown), ""];
  } catch {
    return ["Error", "An error that could not be turned into text was thrown", ""];
  }
}

function valueOf(thrown: unknown): Payload {
  for (const value of [thrown, withoutProperties(thrown)]) {
    try {
      const encoded = encode(value, nothingSpecial, { bytesMax: VALUE_BYTES_MAX });
      if ("bytes" in encoded) return { bytes: encoded.bytes, attachments: [] };
    } catch {
      // Try again with less.
    }
  }
  return NO_VALUE;
}

/** The error alone, for when its properties or its cause cannot travel. */
function withoutProperties(thrown: unknown): unknown {
  const [name, message, stack] = words(thrown);
  const maker = NATIVE.get(name);
  const error = maker !== undefined ? new maker(message) : new Error(message);
  if (maker === undefined) setHidden(error, "name", name);
  setHidden(error, "stack", stack);
  return error;
}

function markRemote(thrown: unknown): unknown {
  if (typeof thrown === "object" && thrown !== null && thrown instanceof Error) {
    try {
      Object.defineProperty(thrown, "remote", { value: true, writable: true, enumerable: true, configurable: true });
    } catch {
      // A DOMException that does not take it is still the error.
    }
  }
  return thrown;
}

function setHidden(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: false, configurable: true });
}

/** DOMExceptions pass, everything else that is not data does not. */
const nothingSpecial: EncodeHost<never> = {
  recognise(value) {
    const maker = (globalThis as unknown as { DOMException?: new () => Error }).DOMException;
    if (maker === undefined || !(value instanceof maker)) return undefined;
    return { parts: { tag: Tag.DomException, values: domExceptionParts(value) } };
  },
};

export function domExceptionParts(error: Error): unknown[] {
  return [error.name, error.message, stackOf(error)];
}

export function buildDomException(next: () => unknown): Error {
  const [name, message, stack] = [next(), next(), next()];
  if (typeof name !== "string" || typeof message !== "string" || typeof stack !== "string") {
    throw new MalformedError("a DOMException without its words");
  }
  const error = domException(message, name);
  setHidden(error, "stack", remoteStack(error, stack));
  return error;
}

const plainOnly: DecodeHost = {
  external() {
    throw new MalformedError("a failure carries no stubs");
  },
  disposer() {
    throw new MalformedError("a failure carries no stubs");
  },
  build(tag, next) {
    if (tag === Tag.DomException) return buildDomException(next);
    throw new MalformedError("an unknown tag");
  },
};
