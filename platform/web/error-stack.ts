// Error stacks in V8's shape, which npm packages parse: `Error: why\n    at name (module:line:column)`.
//
// SpiderMonkey gives `name@module:line:column` lines without a header, through an accessor on
// Error.prototype. Here that accessor is replaced by one that rewrites them when a stack is first read,
// so that making errors costs nothing more. Also here: `Error.captureStackTrace` in that shape,
// `Error.prepareStackTrace` with call sites, and `Error.stackTraceLimit`. Frames of the platform itself
// are left out, as native code would be, and places in modules with an inline source map are those of
// their sources.
//
// Deliberately absent: receivers and type names of call sites (the engine does not keep them).
//
// Invariant: reading a stack never throws, but for what a user's `prepareStackTrace` throws.

import { isError } from "./inspect-error.ts";
import { originOf } from "./source-maps.ts";

interface Frame {
  name: string;
  file: string;
  line: number;
  column: number;
  isAsync: boolean;
  isEval: boolean;
}

type ErrorConstructorOfV8 = ErrorConstructor & {
  captureStackTrace(target: object, above?: unknown): void;
  prepareStackTrace?: unknown;
  stackTraceLimit: number;
};

const V8Error = Error as ErrorConstructorOfV8;
const { apply, getOwnPropertyDescriptor, defineProperty } = Reflect;

/** V8's own limit until a script sets another. */
const FRAMES_KEPT = 10;

/** What the names of the platform's own modules begin with. */
const PLATFORM_PREFIX = "mayfly:";

const nativeStack = getOwnPropertyDescriptor(Error.prototype, "stack");
const nativeCapture = V8Error.captureStackTrace as typeof V8Error.captureStackTrace | undefined;

// ---- Reading the engine's frames -----------------------------------------------------------------

// The name may hold anything but `@`; a file may hold that, too (`node_modules/@scope/…`).
const FRAME = /^(?<name>[^@]*)@(?<file>.*?)(?::(?<line>\d+))?(?::(?<column>\d+))?$/;
const EVALUATED = /^(?<file>.*?) line (?<line>\d+) > (?:eval|Function).*$/;
const ASYNC_MARK = /^.*\*/;

function parseFrame(text: string): Frame | undefined {
  const groups = FRAME.exec(text)?.groups;
  if (groups === undefined) {
    return undefined;
  }
  const given = groups["name"] ?? "";
  const file = groups["file"] ?? "";
  return {
    name: functionName(given.replace(ASYNC_MARK, "")),
    file,
    line: Number(groups["line"] ?? 0),
    column: Number(groups["column"] ?? 0),
    isAsync: ASYNC_MARK.test(given),
    isEval: EVALUATED.test(file),
  };
}

/** The engine calls an anonymous function in `f` `f/<`, and one that `f` puts into `o.p` `f/o.p`. */
function functionName(name: string): string {
  const own = name.slice(name.lastIndexOf("/") + 1);
  return own.endsWith("<") ? "" : own;
}

/** How many frames a stack shows; undefined where a script has made the limit no number, which in V8
 * means no stack. */
function frameLimit(): number | undefined {
  const limit: unknown = getOwnPropertyDescriptor(V8Error, "stackTraceLimit")?.value;
  return typeof limit === "number" ? Math.max(limit, 0) : undefined;
}

function parseFrames(stack: string, limit: number): Frame[] {
  const frames: Frame[] = [];
  for (const line of stack.split("\n")) {
    if (frames.length >= limit) break;
    const frame = line === "" ? undefined : parseFrame(line);
    if (frame !== undefined && !frame.file.startsWith(PLATFORM_PREFIX)) {
      frames.push(atItsOrigin(frame));
    }
  }
  return frames;
}

function atItsOrigin(frame: Frame): Frame {
  const origin = frame.isEval ? undefined : originOf(frame.file, frame.line, frame.column);
  return origin === undefined ? frame : { ...frame, ...origin };
}

// ---- Writing V8's ----------------------------------------------------------------------------------

function place(frame: Frame): string {
  const evaluated = EVALUATED.exec(frame.file)?.groups;
  if (evaluated !== undefined) {
    const origin = `eval at <anonymous> (${evaluated["file"] ?? ""}:${evaluated["line"] ?? ""})`;
    return `${origin}, <anonymous>:${frame.line}:${frame.column}`;
  }
  return `${frame.file}:${frame.line}:${frame.column}`;
}

function frameText(frame: Frame): string {
  const lead = frame.isAsync ? "async " : "";
  const name = frame.name === "" && frame.isEval ? "eval" : frame.name;
  return name === "" ? `${lead}${place(frame)}` : `${lead}${name} (${place(frame)})`;
}

/** `Error.prototype.toString`, for anything and without throwing. */
function header(target: object): string {
  try {
    const { name, message } = target as { name?: unknown; message?: unknown };
    const shownName = name === undefined ? "Error" : `${name as string}`;
    const shownMessage = message === undefined ? "" : `${message as string}`;
    return shownName === "" ? shownMessage : shownMessage === "" ? shownName : `${shownName}: ${shownMessage}`;
  } catch {
    return "<error>";
  }
}

function v8Stack(target: object, engineStack: string): unknown {
  const limit = frameLimit();
  if (limit === undefined) return undefined;
  const frames = parseFrames(engineStack, limit);
  const prepare = V8Error.prepareStackTrace;
  if (typeof prepare === "function") {
    return apply(prepare as (...args: unknown[]) => unknown, V8Error, [target, frames.map((frame) => new CallSite(frame))]);
  }
  let text = header(target);
  for (const frame of frames) {
    text += `\n    at ${frameText(frame)}`;
  }
  return text;
}

/** A frame as `Error.prepareStackTrace` gets it. */
class CallSite {
  #frame: Frame;

  constructor(frame: Frame) {
    this.#frame = frame;
  }

  getThis(): undefined {
    return undefined;
  }

  getTypeName(): string | null {
    return this.#frame.name === "" ? null : "Object";
  }

  getFunction(): undefined {
    return undefined;
  }

  getFunctionName(): string | null {
    return this.#frame.name === "" ? null : this.#frame.name;
  }

  getMethodName(): string | null {
    return null;
  }

  getFileName(): string {
    return this.#frame.file;
  }

  getLineNumber(): number {
    return this.#frame.line;
  }

  getColumnNumber(): number {
    return this.#frame.column;
  }

  getEvalOrigin(): string | undefined {
    return this.#frame.isEval ? place(this.#frame) : undefined;
  }

  getScriptNameOrSourceURL(): string {
    return this.#frame.file;
  }

  getScriptHash(): string {
    return "";
  }

  getEnclosingLineNumber(): number {
    return this.#frame.line;
  }

  getEnclosingColumnNumber(): number {
    return this.#frame.column;
  }

  getPosition(): number {
    return 0;
  }

  getPromiseIndex(): null {
    return null;
  }

  isToplevel(): boolean {
    return this.#frame.name === "";
  }

  isEval(): boolean {
    return this.#frame.isEval;
  }

  isNative(): boolean {
    return false;
  }

  isConstructor(): boolean {
    return false;
  }

  isAsync(): boolean {
    return this.#frame.isAsync;
  }

  isPromiseAll(): boolean {
    return false;
  }

  toString(): string {
    return frameText(this.#frame);
  }
}

// ---- Taking the engine's place ---------------------------------------------------------------------

/** Stacks that were read: V8 writes one once, so that a later change of the message does not show. */
const written = new WeakMap<object, unknown>();

function stackOf(error: object, engineStack: string): unknown {
  if (written.has(error)) {
    return written.get(error);
  }
  const stack = v8Stack(error, engineStack);
  written.set(error, stack);
  return stack;
}

function captureStackTrace(target: object, above: unknown = undefined): void {
  const capture = nativeCapture as typeof V8Error.captureStackTrace;
  // Without a function to start below, ours would be the first frame; it is one of the platform's.
  apply(capture, V8Error, above === undefined ? [target] : [target, above]);
  const descriptor = getOwnPropertyDescriptor(target, "stack");
  if (typeof descriptor?.value === "string") {
    const value = v8Stack(target, descriptor.value);
    defineProperty(target, "stack", { value, writable: true, enumerable: false, configurable: true });
  }
}

// Elsewhere than on SpiderMonkey (tests of single modules run on Node.js) stacks have that shape already.
if (nativeStack?.get !== undefined && nativeStack.set !== undefined && nativeCapture !== undefined) {
  const read = nativeStack.get;
  const methods = {
    get stack(): unknown {
      const value: unknown = apply(read, this, []);
      return typeof value === "string" && isError(this) ? stackOf(this, value) : value;
    },
  };
  const get = getOwnPropertyDescriptor(methods, "stack")?.get;
  defineProperty(Error.prototype, "stack", { get, set: nativeStack.set, enumerable: false, configurable: true });
  defineProperty(V8Error, "captureStackTrace", {
    value: captureStackTrace,
    writable: true,
    enumerable: false,
    configurable: true,
  });
  V8Error.stackTraceLimit = FRAMES_KEPT;
}
