// node:fs and node:fs/promises, made from the synchronous functions.
//
// Arguments are checked at once, before the callback is: what is wrong with them is thrown by the functions
// with a callback, and rejects those with a promise. As in Workers, `read` and `readv` tell it their callback. What the file system says comes to the callback in a tick of its own.
//
// Absent: `watch`, `watchFile` and `unwatchFile` throw: nothing but the Worker itself changes its files.

import { Buffer } from "../buffer.ts";
import { abortError, invalidArgType, notImplemented, requireFunction } from "../errors.ts";
import { nextTick } from "../ticks.ts";
import { linesOf } from "../readline.ts";
import { promisifySymbol } from "../promisify.ts";
import { optionsOf, signalOf } from "./arguments.ts";
import { fsConstants } from "./constants.ts";
import { FileHandle, makeHandle, streamMakers } from "./handle.ts";
import { globNames } from "./glob.ts";
import { Dir, Dirent, Stats } from "./stats.ts";
import { createReadStream, createWriteStream, ReadStream, WriteStream } from "./streams.ts";
import * as sync from "./sync.ts";
import { checkArguments } from "./vfs.ts";

type AnyFunction = (...args: unknown[]) => unknown;

/** Codes of errors in what a caller gave, not in what the file system has. */
const ARGUMENT_CODES = new Set(["ERR_INVALID_ARG_TYPE", "ERR_INVALID_ARG_VALUE", "ERR_OUT_OF_RANGE", "ERR_BUFFER_OUT_OF_BOUNDS", "ERR_UNSUPPORTED_OPERATION", "ERR_UNKNOWN_ENCODING"]);

function isArgumentError(error: unknown): boolean {
  return ARGUMENT_CODES.has((error as { code?: string } | null)?.code ?? "");
}

/** Calls back with what `work` gives; `results` is what comes beside it. */
function report(callback: unknown, work: () => unknown, ...results: unknown[]): void {
  tell(callback, work, isArgumentError, results);
}

function tell(callback: unknown, work: () => unknown, isThrown: (error: unknown) => boolean, results: unknown[]): void {
  const done = requireFunction(callback, "callback");
  let outcome: unknown[];
  try {
    const value = work();
    outcome = value === undefined && results.length === 0 ? [null] : [null, value, ...results];
  } catch (error) {
    if (isThrown(error)) throw error;
    outcome = [error];
  }
  nextTick(done, ...outcome);
}

/** What is wrong with the arguments of `work` is said before the missing callback is. */
function requireCallback(callback: unknown, work: () => unknown): void {
  const error = typeof callback === "function" ? undefined : checkArguments(work);
  if (isArgumentError(error)) throw error;
  requireFunction(callback, "callback");
}

/** The form with a callback: the last function among the arguments, whatever options were left out. */
function withCallback(name: string, work: AnyFunction, required: number): AnyFunction {
  const made = (...args: unknown[]): void => {
    const at = args.findLastIndex((argument) => typeof argument === "function");
    if (at < required) {
      requireCallback(args[Math.max(required, args.length - 1)], () => work(...args));
    } else report(args[at], () => work(...args.slice(0, at)));
  };
  Object.defineProperty(made, "name", { value: name, configurable: true });
  return made;
}

/** Names, and how many arguments come before the options or the callback. */
const COMMON: readonly [name: string, required: number][] = [
  ["access", 1], ["appendFile", 2], ["chmod", 2], ["chown", 3], ["copyFile", 2], ["cp", 2], ["lchmod", 2], ["lchown", 3], ["link", 2],
  ["lstat", 1], ["lutimes", 3], ["mkdir", 1], ["mkdtemp", 1], ["opendir", 1], ["readFile", 1], ["readdir", 1], ["readlink", 1],
  ["realpath", 1], ["rename", 2], ["rm", 1], ["rmdir", 1], ["stat", 1], ["statfs", 1], ["symlink", 2], ["truncate", 1], ["unlink", 1],
  ["utimes", 3], ["writeFile", 2],
];
const DESCRIPTORS: readonly [name: string, required: number][] = [
  ["fchmod", 2], ["fchown", 3], ["fdatasync", 1], ["fstat", 1], ["fsync", 1], ["ftruncate", 1], ["futimes", 3],
];

const syncMembers = sync as unknown as Record<string, AnyFunction>;
const syncOf = (name: string): AnyFunction => syncMembers[`${name}Sync`] as AnyFunction;

/** Those whose result is nothing for anybody. */
const SILENT = new Set(["appendFile", "writeFile"]);

function silently(name: string): AnyFunction {
  const work = syncOf(name);
  return SILENT.has(name) ? (...args) => void work(...args) : work;
}

const callbacks: Record<string, AnyFunction> = {};
for (const [name, required] of [...COMMON, ...DESCRIPTORS]) callbacks[name] = withCallback(name, silently(name), required);

/** A signal that is aborted already ends what would begin. */
function checkSignal(options: unknown): void {
  if (typeof options !== "object" || options === null) return;
  const signal = signalOf(optionsOf(options));
  if (signal?.aborted === true) throw abortError(signal.reason);
}

for (const name of ["readFile", "writeFile", "appendFile"]) {
  const plain = callbacks[name] as AnyFunction;
  callbacks[name] = (...args) => {
    const options = args.at(-2);
    const callback = args.at(-1);
    try {
      checkSignal(options);
    } catch (error) {
      if (isArgumentError(error)) throw error;
      nextTick(requireFunction(callback, "callback"), error);
      return undefined;
    }
    return plain(...args);
  };
}
(callbacks["realpath"] as AnyFunction & { native?: AnyFunction }).native = callbacks["realpath"];

// ---- Callbacks of their own shape --------------------------------------------------------------

function exists(path: unknown, callback: unknown): void {
  nextTick(requireFunction(callback, "callback"), sync.existsSync(path));
}
Object.defineProperty(exists, promisifySymbol, { value: (path: unknown) => Promise.resolve(sync.existsSync(path)) });

function open(path: unknown, ...rest: unknown[]): void {
  const callback = rest.findLast((argument) => typeof argument === "function");
  requireCallback(callback, () => sync.openSync(path, ...rest));
  report(callback, () => sync.openSync(path, ...rest.slice(0, rest.indexOf(callback))));
}

function close(fd: unknown, callback: unknown = () => {}): void {
  report(callback, () => sync.closeSync(fd));
}

function read(fd: unknown, ...args: unknown[]): void {
  const callback = args.pop();
  let [buffer, offset, length, position] = args;
  // `read(fd, [options,] callback)`: the buffer may be among the options, or ours.
  if (!ArrayBuffer.isView(buffer)) {
    const options = buffer === undefined || buffer === null ? {} : (buffer as Record<string, unknown>);
    if (typeof options !== "object") throw invalidArgType("buffer", ["Buffer", "TypedArray", "DataView"], buffer);
    buffer = options["buffer"] ?? Buffer.alloc(16 * 1024);
    offset = options;
  }
  tell(callback, () => sync.readSync(fd, buffer, offset ?? 0, length, position), () => false, [buffer]);
}
Object.defineProperty(read, promisifySymbol, {
  value: async (fd: unknown, buffer: unknown, ...rest: unknown[]) => ({ bytesRead: sync.readSync(fd, buffer, ...(rest as [])), buffer }),
});

function readv(fd: unknown, buffers: unknown, ...rest: unknown[]): void {
  const callback = rest.pop();
  tell(callback, () => sync.readvSync(fd, buffers, rest[0]), () => false, [buffers]);
}

function write(fd: unknown, buffer: unknown, ...rest: unknown[]): void {
  const callback = rest.pop();
  report(callback, () => sync.writeSync(fd, buffer, ...(rest as [])), buffer);
}
Object.defineProperty(write, promisifySymbol, {
  value: async (fd: unknown, buffer: unknown, ...rest: unknown[]) => ({ bytesWritten: sync.writeSync(fd, buffer, ...(rest as [])), buffer }),
});

function writev(fd: unknown, buffers: unknown, ...rest: unknown[]): void {
  const callback = rest.pop();
  report(callback, () => sync.writevSync(fd, buffers, rest[0]), buffers);
}

function glob(pattern: unknown, ...rest: unknown[]): void {
  const callback = rest.pop();
  report(callback, () => sync.globSync(pattern, ...(rest as [])));
}

function unwatched(): never {
  throw sync.unsupported();
}

Object.assign(callbacks, {
  close,
  exists,
  glob,
  open,
  read,
  readv,
  unwatchFile: unwatched,
  watch: unwatched,
  watchFile: unwatched,
  write,
  writev,
});

// ---- Promises --------------------------------------------------------------------------------

const promises: Record<string, unknown> = {};
for (const [name] of COMMON) {
  const work = silently(name);
  const made = async (...args: unknown[]): Promise<unknown> => {
    if (name === "readFile" || name === "writeFile" || name === "appendFile") {
      checkSignal(args.at(-1));
      const handle = args[0];
      if (handle instanceof FileHandle) return (handle as unknown as Record<string, AnyFunction>)[name]?.(...args.slice(1));
      const data = args[1];
      if (name === "writeFile" && typeof data === "object" && data !== null && !ArrayBuffer.isView(data)) return writeIterable(args[0], data, args[2]);
    }
    return work(...args);
  };
  Object.defineProperty(made, "name", { value: name, configurable: true });
  promises[name] = made;
}

async function openHandle(path: unknown, flags: unknown = "r", mode: unknown = 0o666): Promise<FileHandle> {
  return makeHandle(sync.openSync(path, flags, mode));
}

async function writeIterable(path: unknown, data: object, options: unknown): Promise<void> {
  if (!(Symbol.asyncIterator in data) && !(Symbol.iterator in data)) {
    throw invalidArgType("data", ["string", "Buffer", "TypedArray", "DataView", "AsyncIterable", "Iterable", "Stream"], data);
  }
  const handle = await openHandle(path, optionsOf(options)["flag"] ?? "w");
  try {
    await handle.writeFile(data, options);
  } finally {
    await handle.close();
  }
}

Object.assign(promises, {
  constants: fsConstants,
  async *glob(pattern: unknown, options?: unknown): AsyncGenerator<unknown> {
    yield* globNames(pattern, options);
  },
  open: openHandle,
  async *watch(): AsyncGenerator<never> {
    throw notImplemented("fs.promises.watch");
  },
});

// ---- The modules -----------------------------------------------------------------------------

streamMakers.read = (handle, options) => createReadStream("", { ...options, fd: handle });
streamMakers.write = (handle, options) => createWriteStream("", { ...options, fd: handle });

streamMakers.lines = (handle, options) => linesOf(createReadStream("", { ...options, fd: handle }));

const { F_OK, R_OK, W_OK, X_OK } = fsConstants;

const SYNC = [
  ...[...COMMON, ...DESCRIPTORS].map(([name]) => `${name}Sync`),
  "closeSync", "existsSync", "globSync", "openSync", "readSync", "readvSync", "writeSync", "writevSync", "openAsBlob",
];

const members: Record<string, unknown> = {
  ...callbacks,
  ...Object.fromEntries(SYNC.map((name) => [name, syncMembers[name]])),
  Dir,
  Dirent,
  F_OK,
  FileReadStream: ReadStream,
  FileWriteStream: WriteStream,
  R_OK,
  ReadStream,
  Stats,
  W_OK,
  WriteStream,
  X_OK,
  constants: fsConstants,
  createReadStream,
  createWriteStream,
  openAsBlob: sync.openAsBlob,
  promises,
};

export const fsModule: Record<string, unknown> = { ...members, default: members };
export const fsPromisesModule: Record<string, unknown> = { ...promises, FileHandle, default: promises };
