// How errors look: the stack, then what else they carry, with `cause` and `errors` last.
//
// Invariant: the name and message of an error are always shown, whatever its stack says.

import { type Inspection, type Shape, constructorName } from "./inspect.ts";

export function isError(value: unknown): value is Error {
  return Error.isError === undefined ? value instanceof Error : Error.isError(value);
}

export function inspectError(cx: Inspection, error: Error, keys: PropertyKey[]): Shape {
  const base = indentLines(errorText(error, keys), cx.indentation);
  const shown = cx.showHidden ? [...keys] : keys.filter((key) => !isRedundant(error, key, base));
  // Hidden properties, but what a reader looks for.
  for (const key of ["cause", "errors"]) {
    if (Object.hasOwn(error, key) && !shown.includes(key)) {
      shown.push(key);
    }
  }
  return { braces: ["{", "}"], base, entries: () => [], keys: shown, isList: false, bare: true };
}

function ownValue(error: Error, key: PropertyKey): unknown {
  const descriptor = Object.getOwnPropertyDescriptor(error, key);
  return descriptor?.get === undefined ? (descriptor?.value as unknown) : "[Getter]";
}

/** Own enumerable properties that the text already shows. */
function isRedundant(error: Error, key: PropertyKey, text: string): boolean {
  if (key === "stack") {
    return true;
  }
  if (key !== "name" && key !== "message") {
    return false;
  }
  const value = ownValue(error, key);
  return typeof value === "string" && text.includes(value);
}

const HAS_FRAMES = /(?:^|\n) {4}at /;

function errorText(error: Error, keys: PropertyKey[]): string {
  const name = textOf(() => error.name) || constructorName(error) || "Error";
  const message = textOf(() => error.message);
  const header = message === "" ? name : `${name}: ${message}`;
  const stack = textOf(() => error.stack);
  if (stack === "") {
    return `[${header}]`;
  }
  if (!HAS_FRAMES.test(stack)) {
    return `[${stack}]`;
  }
  return withClassName(withHeader(stack, header, message), name, error, keys);
}

function textOf(read: () => unknown): string {
  try {
    const value = read();
    return typeof value === "string" ? value : "";
  } catch {
    return "";
  }
}

/** A stack is taken when the error is made; a message given later would be missing from it. */
function withHeader(stack: string, header: string, message: string): string {
  const frames = stack.search(/(?:^|\n) {4}at /);
  if (frames === -1) {
    return stack.includes(message) ? stack : `${header}\n${stack}`;
  }
  const head = stack.slice(0, frames);
  if (head !== "" && head.includes(message)) {
    return stack;
  }
  return `${header}${frames === 0 ? "\n" : ""}${stack.slice(frames)}`;
}

/** Names the class where the name alone would hide it: `Error` thrown as a `NotFound`. */
function withClassName(text: string, name: string, error: Error, keys: PropertyKey[]): string {
  const owner = constructorName(error);
  if (owner === null || owner === name || name !== "Error" || !text.startsWith("Error") || keys.includes("name")) {
    return text;
  }
  return `${owner}${text.slice("Error".length)}`;
}

function indentLines(text: string, by: number): string {
  return by === 0 ? text : text.replaceAll("\n", `\n${" ".repeat(by)}`);
}
