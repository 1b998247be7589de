// Errors that the platform itself makes: DOMExceptions by name and the stack of a remote error.
//
// `DOMException` is the web platform's; until a global of that name exists an `Error` with the
// right name stands in.
//
// Invariant: no message here holds text of the host's.

import { STACK_CHARS_MAX } from "./rpc/tags.ts";

type DomExceptionMaker = new (message: string, name: string) => Error;

export function domException(message: string, name: string): Error {
  const maker = (globalThis as unknown as { DOMException?: DomExceptionMaker }).DOMException;
  if (maker !== undefined) return new maker(message, name);
  const error = new Error(message);
  error.name = name;
  return error;
}

export function dataCloneError(message: string): Error {
  return domException(message, "DataCloneError");
}

/**
 * The stack of an error that came from another Worker: where it arrived here, then where it was
 * thrown there. Never equal to the original, so nobody takes the frames for their own.
 */
export function remoteStack(error: Error, remote: string): string {
  const local = String(error.stack ?? "").trimEnd();
  if (remote === "") return local;
  return `${local}\n--- remote ---\n${remote}`.slice(0, STACK_CHARS_MAX);
}

/** How a value is called in a message about it: `undefined`, `a string ("x")`, `an array`. */
export function describe(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (typeof value === "string") return `the string ${JSON.stringify(value.length > 64 ? `${value.slice(0, 64)}…` : value)}`;
  if (typeof value === "number" || typeof value === "boolean") return `the ${typeof value} ${String(value)}`;
  if (typeof value === "bigint") return `the bigint ${String(value)}n`;
  if (typeof value === "symbol") return "a symbol";
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return "an array";
  return "an object";
}
