// Checks of arguments that several modules share, with the words Node.js has for them.
//
// Invariant: a check never changes what it looks at.

import { inspect } from "../web/inspect.ts";
import { invalidArgType, outOfRange } from "./errors.ts";

/** An error of Node.js: its class, its code, its text. */
export function failure(Class: new (message: string) => Error, code: string, message: string): Error {
  return Object.assign(new Class(message), { code });
}

/** Names of properties have another wording than names of arguments. */
function quotedName(name: string): string {
  return `The ${name.includes(".") ? "property" : "argument"} '${name}'`;
}

export function invalidValue(name: string, value: unknown, why = "is invalid"): Error {
  const shown = inspect(value);
  const short = shown.length > 128 ? `${shown.slice(0, 128)}...` : shown;
  return failure(TypeError, "ERR_INVALID_ARG_VALUE", `${quotedName(name)} ${why}. Received ${short}`);
}

export function missing(...names: string[]): Error {
  const quoted = names.map((name) => `"${name}"`);
  const last = quoted.pop() as string;
  const list = quoted.length === 0 ? last : `${quoted.join(", ")}${quoted.length > 1 ? "," : ""} and ${last}`;
  return failure(TypeError, "ERR_MISSING_ARGS", `The ${list} argument${names.length > 1 ? "s" : ""} must be specified`);
}

export function unimplemented(what: string): Error {
  return failure(Error, "ERR_METHOD_NOT_IMPLEMENTED", `The ${what} method is not implemented`);
}

/** The function `name`, which exists here and does nothing but say so. */
export function refusing(name: string): (...args: unknown[]) => never {
  const refuse = { [name]: (): never => { throw unimplemented(name); } };
  return refuse[name] as () => never;
}

export function checkOneOf<T>(value: unknown, name: string, allowed: readonly T[]): T {
  if (!allowed.includes(value as T)) {
    const list = allowed.map((item) => (typeof item === "string" ? `'${item}'` : String(item))).join(", ");
    throw invalidValue(name, value, `must be one of: ${list}`);
  }
  return value as T;
}

export function checkObject(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalidArgType(name, ["object"], value);
  return value as Record<string, unknown>;
}

export function checkBoolean(value: unknown, name: string): boolean {
  if (typeof value !== "boolean") throw invalidArgType(name, ["boolean"], value);
  return value;
}

export function checkText(value: unknown, name: string): string {
  if (typeof value !== "string") throw invalidArgType(name, ["string"], value);
  return value;
}

export function checkInt32(value: unknown, name: string, least = -2147483648, most = 2147483647): number {
  return checkWhole(value, name, least, most);
}

export function checkWhole(value: unknown, name: string, least: number, most: number): number {
  if (typeof value !== "number") throw invalidArgType(name, ["number"], value);
  if (!Number.isInteger(value)) throw outOfRange(name, "an integer", value);
  if (value < least || value > most) throw outOfRange(name, `>= ${least} && <= ${most}`, value);
  return value;
}

export function checkUint32(value: unknown, name: string, positive = false): number {
  if (typeof value !== "number") throw invalidArgType(name, ["number"], value);
  if (!Number.isInteger(value)) throw outOfRange(name, "an integer", value);
  const least = positive ? 1 : 0;
  if (value < least || value > 4294967295) throw outOfRange(name, `>= ${least} && < 4294967296`, value);
  return value;
}

export function checkNumber(value: unknown, name: string): number {
  if (typeof value !== "number") throw invalidArgType(name, ["number"], value);
  return value;
}

export function checkCallable(value: unknown, name: string): (...args: unknown[]) => unknown {
  if (typeof value !== "function") throw invalidArgType(name, ["function"], value);
  return value as (...args: unknown[]) => unknown;
}
