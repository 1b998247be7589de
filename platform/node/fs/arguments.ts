// What callers of node:fs give: paths, modes, flags, options, buffers; checked once, here.

import { Buffer } from "../buffer.ts";
import { invalidArgType, invalidArgValue, outOfRange, requireBoolean, requireInteger, requireNumber, requireObject, requireSignal } from "../errors.ts";
import { workingDirectory } from "../working-directory.ts";
import { URL } from "../../web/url.ts";
import { fsConstants } from "./constants.ts";

export type Options = Record<string, unknown>;

const UINT32_MAX = 2 ** 32 - 1;
const INT32_MAX = 2 ** 31 - 1;

/** A path as the file system knows it: absolute, as in a URL. */
export function requirePath(given: unknown, name = "path"): string {
  let url: URL;
  if (given instanceof URL) {
    url = given;
  } else {
    const text = typeof given === "string" ? given : Buffer.isBuffer(given) ? given.toString() : undefined;
    if (text === undefined) throw invalidArgType(name, ["string", "Buffer", "URL"], given);
    if (text.includes("\0")) throw invalidArgValue(name, text, "must not contain null bytes");
    const path = text.replace(/[#?]/g, encodeURIComponent).replaceAll("//", "/");
    url = new URL(path, path.startsWith("/") ? "file://" : `file://${workingDirectory().replace(/\/?$/, "/")}`);
  }
  if (url.protocol !== "file:") throw new TypeError("File path must be a file: URL");
  if (url.host !== "") throw new Error("File path must not have a host");
  // Escapes differ in case and mean the same.
  return url.pathname.replace(/%[0-9a-f]{2}/gi, (escape) => escape.toUpperCase());
}

export function requireUint32(value: unknown, name: string): number {
  const whole = requireNumber(value, name);
  if (!Number.isInteger(whole)) throw outOfRange(name, "an integer", whole);
  if (whole < 0 || whole > UINT32_MAX) throw outOfRange(name, ">= 0 && < 4294967296", whole);
  return whole;
}

export function requireFd(value: unknown, name = "fd"): number {
  const fd = requireNumber(value, name);
  if (!Number.isInteger(fd)) throw outOfRange(name, "an integer", fd);
  if (fd < 0 || fd > INT32_MAX) throw outOfRange(name, `>= 0 && <= ${INT32_MAX}`, fd);
  return fd;
}

export function requireMode(value: unknown, name: string, otherwise?: number): number {
  const mode = otherwise === undefined ? value : (value ?? otherwise);
  if (typeof mode === "string") {
    if (!/^[0-7]+$/.test(mode)) throw invalidArgValue(name, mode, "must be a 32-bit unsigned integer or an octal string");
    return requireUint32(Number.parseInt(mode, 8), name);
  }
  return requireUint32(mode, name);
}

export function requireAccessMode(value: unknown): number {
  return requireInteger(value ?? fsConstants.F_OK, "mode", 0, 7);
}

const FLAGS: Record<string, number> = (() => {
  const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_SYNC, O_TRUNC, O_WRONLY } = fsConstants;
  const [write, append] = [O_TRUNC | O_CREAT, O_APPEND | O_CREAT];
  const table: Record<string, number> = {
    r: O_RDONLY, rs: O_RDONLY | O_SYNC, sr: O_RDONLY | O_SYNC, "r+": O_RDWR, "rs+": O_RDWR | O_SYNC, "sr+": O_RDWR | O_SYNC,
    w: write | O_WRONLY, wx: write | O_WRONLY | O_EXCL, xw: write | O_WRONLY | O_EXCL,
    "w+": write | O_RDWR, "wx+": write | O_RDWR | O_EXCL, "xw+": write | O_RDWR | O_EXCL,
    a: append | O_WRONLY, ax: append | O_WRONLY | O_EXCL, xa: append | O_WRONLY | O_EXCL, as: append | O_WRONLY | O_SYNC, sa: append | O_WRONLY | O_SYNC,
    "a+": append | O_RDWR, "ax+": append | O_RDWR | O_EXCL, "xa+": append | O_RDWR | O_EXCL, "as+": append | O_RDWR | O_SYNC, "sa+": append | O_RDWR | O_SYNC,
  };
  return table;
})();

export function requireFlags(value: unknown, name = "flags"): number {
  if (typeof value === "number") return requireInteger(value, name, -(2 ** 31), INT32_MAX);
  if (value === undefined || value === null) return fsConstants.O_RDONLY;
  const found = typeof value === "string" ? FLAGS[value] : undefined;
  if (found === undefined) throw invalidArgValue(name, value);
  return found;
}

/** Options given whole, or as an encoding alone. */
export function optionsOf(given: unknown): Options {
  if (given === undefined) return {};
  if (typeof given === "string" || given === null) return { encoding: given };
  return requireObject(given, "options");
}

/** Options that are an object or left out. */
export function settingsOf(given: unknown): Options {
  return given === undefined ? {} : requireObject(given, "options");
}

/** The encoding of names and texts; `"buffer"` means bytes, and `null` does where nothing else is meant. */
export function requireEncodingOption(value: unknown, otherwise: string | null = "utf8"): string | null {
  const encoding = value === undefined ? otherwise : value;
  if (encoding === null && otherwise === null) return null;
  if (encoding !== "buffer" && !Buffer.isEncoding(encoding)) throw invalidArgValue("options.encoding", encoding);
  return encoding as string;
}

export function flag(options: Options, name: string, otherwise = false): boolean {
  const value = options[name];
  return value === undefined ? otherwise : requireBoolean(value, `options.${name}`);
}

export function signalOf(options: Options): ReturnType<typeof requireSignal> | undefined {
  const { signal } = options;
  return signal === undefined ? undefined : requireSignal(signal, "options.signal");
}

/** A place in a file: `null` is where the last operation ended. */
export function requirePosition(value: unknown, name = "position"): number | null {
  if (value === undefined || value === null) return null;
  if (typeof value === "number") {
    return requireUint32(value, name);
  }
  if (typeof value === "bigint") {
    if (value < -1n || value > 2n ** 63n - 1n) throw outOfRange(name, `>= -1 && <= ${2n ** 63n - 1n}`, value);
    return value < 0n ? null : Number(value);
  }
  throw invalidArgType(name, ["integer", "bigint", "null"], value);
}

export function requireDate(value: unknown): Date {
  if (typeof value === "number") return new Date(value);
  if (typeof value === "bigint") return new Date(Number(value));
  if (typeof value === "string") return new Date(value);
  if (value instanceof Date) return value;
  throw invalidArgType("time", ["string", "number", "bigint", "Date"], value);
}

export function bytesOf(view: ArrayBufferView): Buffer {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength);
}

export function requireViews(value: unknown): ArrayBufferView[] {
  if (!Array.isArray(value) || !value.every((each) => ArrayBuffer.isView(each))) throw invalidArgType("buffer", ["ArrayBufferView[]"], value);
  return value as ArrayBufferView[];
}

/** What is to be written, as bytes. */
export function requireData(data: unknown, encoding: string | null, name = "data"): Uint8Array {
  if (typeof data === "string") return Buffer.from(data, encoding ?? "utf8");
  if (!ArrayBuffer.isView(data)) throw invalidArgType(name, ["string", "Buffer", "TypedArray", "DataView"], data);
  return bytesOf(data);
}
