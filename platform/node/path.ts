// node:path: both families of paths, `posix` and `win32`. The plain module is `posix`.
//
// A family is made from what differs: the separators, the root of a path, and whether letters count.
// As in Workers `resolve` starts at the root, whatever the working directory is.
//
// Invariant: nothing here looks at files.

import { invalidArgType, requireString } from "./errors.ts";
import { compileGlob } from "./glob.ts";

export interface ParsedPath {
  root: string;
  dir: string;
  base: string;
  ext: string;
  name: string;
}

/** The start of a path that is no name: a drive or a share (`device`), then maybe a separator. */
interface Root {
  device: string;
  isAbsolute: boolean;
  /** Characters that the two take. */
  length: number;
}

interface Family {
  readonly sep: "/" | "\\";
  isSeparator(code: number): boolean;
  rootOf(path: string): Root;
}

const SLASH = 0x2f;
const BACKSLASH = 0x5c;
const COLON = 0x3a;

const isSlash = (code: number): boolean => code === SLASH;
const isEither = (code: number): boolean => code === SLASH || code === BACKSLASH;

function isLetter(code: number): boolean {
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}

const POSIX: Family = {
  sep: "/",
  isSeparator: isSlash,
  rootOf: (path) => {
    const isAbsolute = path.charCodeAt(0) === SLASH;
    return { device: "", isAbsolute, length: isAbsolute ? 1 : 0 };
  },
};

/** The end of the run of characters from `at` that are separators, or are not. */
function skip(path: string, at: number, separators: boolean): number {
  while (at < path.length && isEither(path.charCodeAt(at)) === separators) at++;
  return at;
}

const WIN32: Family = {
  sep: "\\",
  isSeparator: isEither,
  rootOf: (path) => {
    if (isEither(path.charCodeAt(0))) {
      if (path.length > 1 && isEither(path.charCodeAt(1))) return shareOf(path);
      return { device: "", isAbsolute: true, length: 1 };
    }
    if (path.length > 1 && isLetter(path.charCodeAt(0)) && path.charCodeAt(1) === COLON) {
      const isAbsolute = path.length > 2 && isEither(path.charCodeAt(2));
      return { device: path.slice(0, 2), isAbsolute, length: isAbsolute ? 3 : 2 };
    }
    return { device: "", isAbsolute: false, length: 0 };
  },
};

/** `\\server\share`, or `\\.\` and `\\?\`, which have no share. */
function shareOf(path: string, devices: "special" | "plain" = "special"): Root {
  const plain: Root = { device: "", isAbsolute: true, length: 1 };
  const serverEnd = skip(path, 2, false);
  if (serverEnd >= path.length || serverEnd === 2) return plain;
  const shareStart = skip(path, serverEnd, true);
  if (shareStart >= path.length) return plain;
  const server = path.slice(2, serverEnd);
  if (devices === "special" && (server === "." || server === "?")) {
    return { device: `\\\\${server}`, isAbsolute: true, length: 4 };
  }
  const shareEnd = skip(path, shareStart, false);
  const device = `\\\\${server}\\${path.slice(shareStart, shareEnd)}`;
  return { device, isAbsolute: true, length: shareEnd < path.length ? shareEnd + 1 : shareEnd };
}

/** Names of a path with `.` and `..` worked off. Above the root there is nothing; else `..` stays. */
function tidy(family: Family, path: string, allowAboveRoot: boolean): string[] {
  const names: string[] = [];
  let start = 0;
  for (let at = 0; at <= path.length; at++) {
    if (at < path.length && !family.isSeparator(path.charCodeAt(at))) continue;
    const name = path.slice(start, at);
    start = at + 1;
    if (name === "" || name === ".") continue;
    if (name !== "..") names.push(name);
    else if (names.length > 0 && names.at(-1) !== "..") names.pop();
    else if (allowAboveRoot) names.push("..");
  }
  return names;
}

const MEMBERS = ["dir", "root", "base", "name", "ext"] as const;

function makeFamily(family: Family) {
  const { sep, isSeparator, rootOf } = family;
  const isWindows = sep === "\\";

  function normalize(given: unknown): string {
    const path = requireString(given, "path");
    if (path.length === 0) return ".";
    const { device, isAbsolute, length } = rootOf(path);
    if (isWindows && device.startsWith("\\\\") && length === path.length && !device.startsWith("\\\\.") && !device.startsWith("\\\\?")) {
      return `${device}\\`;
    }
    const endsInSeparator = path.length > length && isSeparator(path.charCodeAt(path.length - 1));
    const names = tidy(family, path.slice(length), !isAbsolute);
    let tail = names.join(sep);
    if (tail.length === 0 && !isAbsolute) tail = ".";
    if (tail.length > 0 && endsInSeparator) tail += sep;
    // A name that looks like a drive must not become one by normalising ("./c:/x").
    if (isWindows && !isAbsolute && device === "" && path.length > 1 && (/:(?:[\\/]|$)/.test(path) || (path.includes(":") && /^[A-Za-z]:/.test(tail)))) return `.\\${tail}`;
    return isAbsolute ? `${device}${sep}${tail}` : `${device}${tail}`;
  }

  function join(...parts: unknown[]): string {
    const given = parts.map((part) => requireString(part, "path")).filter((part) => part.length > 0);
    if (given.length === 0) return ".";
    let joined = given.join(sep);
    // Two separators in front mean a share, but only where the first part says so.
    if (isWindows) {
      const first = given[0] as string;
      const leading = skip(first, 0, true);
      const isShare = leading === 2 && first.length > 2;
      if (!isShare) {
        const extra = skip(joined, 0, true);
        if (extra >= 2) joined = `\\${joined.slice(extra)}`;
      }
    }
    return normalize(joined);
  }

  function resolvePosix(paths: readonly unknown[]): string {
    let resolved = "";
    for (let index = paths.length - 1; index >= 0 && !resolved.startsWith("/"); index--) {
      const path = requireString(paths[index], `paths[${index}]`);
      if (path.length > 0) resolved = resolved === "" ? path : `${path}/${resolved}`;
    }
    if (!resolved.startsWith("/")) resolved = `/${resolved}`;
    return `/${tidy(family, resolved, false).join("/")}`;
  }

  function resolveWindows(paths: readonly unknown[]): string {
    let device = "";
    let tail = "";
    let isAbsolute = false;
    for (let index = paths.length - 1; index >= -1; index--) {
      const path = index >= 0 ? requireString(paths[index], `paths[${index}]`) : "/";
      if (path.length === 0) continue;
      const root = rootOf(path);
      if (root.device !== "") {
        if (device !== "" && root.device.toLowerCase() !== device.toLowerCase()) continue;
        device = device === "" ? root.device : device;
      }
      if (isAbsolute) {
        if (device !== "") break;
        continue;
      }
      tail = `${path.slice(root.length)}\\${tail}`;
      isAbsolute = root.isAbsolute;
      if (isAbsolute && device !== "") break;
    }
    const names = tidy(family, tail, !isAbsolute).join("\\");
    return isAbsolute ? `${device}\\${names}` : `${device}${names}` || ".";
  }

  const resolve = (...paths: unknown[]): string => (isWindows ? resolveWindows(paths) : resolvePosix(paths));

  function isAbsolute(path: unknown): boolean {
    return rootOf(requireString(path, "path")).isAbsolute;
  }

  function relative(given: unknown, target: unknown): string {
    const [from, to] = [requireString(given, "from"), requireString(target, "to")];
    if (from === to) return "";
    const [start, end] = [resolve(from), resolve(to)];
    if (start === end) return "";
    const key = (text: string): string => (isWindows ? text.toLowerCase() : text);
    if (key(start) === key(end)) return "";
    const [a, b] = [start.split(sep).filter((name) => name !== ""), end.split(sep).filter((name) => name !== "")];
    let common = 0;
    while (common < a.length && common < b.length && key(a[common] as string) === key(b[common] as string)) common++;
    // Nothing in common: another drive or share, or the root itself.
    if (isWindows && common === 0 && a.length > 0 && b.length > 0) return end;
    return [...a.slice(common).map(() => ".."), ...b.slice(common)].join(sep);
  }

  function toNamespacedPath(path: unknown): unknown {
    if (!isWindows || typeof path !== "string" || path.length === 0) return path;
    const full = resolve(path);
    if (full.length <= 2) return path;
    if (full.startsWith("\\\\")) {
      const third = full[2];
      return third === "?" || third === "." ? full : `\\\\?\\UNC\\${full.slice(2)}`;
    }
    return /^[A-Za-z]:\\/.test(full) ? `\\\\?\\${full}` : full;
  }

  /** The end of the last name, before any separators that close the path. */
  function endOfLast(path: string, from: number): number {
    let end = path.length;
    while (end > from && isSeparator(path.charCodeAt(end - 1))) end--;
    return end;
  }

  function startOfLast(path: string, from: number, end: number): number {
    let start = end;
    while (start > from && !isSeparator(path.charCodeAt(start - 1))) start--;
    return start;
  }

  /** How much of the path is its root, for `dirname` and `parse`. */
  function rootLength(path: string): number {
    const isShare = isWindows && isEither(path.charCodeAt(0)) && isEither(path.charCodeAt(1));
    return isShare ? shareOf(path, "plain").length : rootOf(path).length;
  }

  function dirname(given: unknown): string {
    const path = requireString(given, "path");
    if (path.length === 0) return ".";
    const root = rootLength(path);
    const end = endOfLast(path, root);
    if (end === root) return root === 0 ? "." : path.slice(0, root);
    const start = startOfLast(path, root, end);
    if (start === root) return root === 0 ? "." : path.slice(0, root);
    // Of several separators all but the last before the name stay.
    return !isWindows && start === root + 1 && root === 1 ? "//" : path.slice(0, start - 1);
  }

  function driveLength(path: string): number {
    return isWindows && path.length >= 2 && isLetter(path.charCodeAt(0)) && path.charCodeAt(1) === COLON ? 2 : 0;
  }

  function basename(given: unknown, suffix?: unknown): string {
    if (suffix !== undefined) requireString(suffix, "ext");
    const path = requireString(given, "path");
    const from = driveLength(path);
    const end = endOfLast(path, from);
    const base = path.slice(startOfLast(path, from, end), end);
    const ending = suffix as string | undefined;
    // As in Node.js, a path of separators alone is its own name where a suffix is given.
    if (ending !== undefined && ending !== "" && ending !== path && ending.length <= path.length && end === from) return path.slice(from);
    if (ending === undefined || ending === "" || !base.endsWith(ending)) return base;
    if (base !== ending) return base.slice(0, -ending.length);
    // The whole of a path is no suffix of it, except where it is the path itself.
    return path === ending ? "" : base;
  }

  function extensionOf(base: string): string {
    const dot = base.lastIndexOf(".");
    if (dot <= 0 || base === "..") return "";
    return base.slice(dot);
  }

  function extname(path: unknown): string {
    return extensionOf(basename(path));
  }

  function format(given: unknown): string {
    if (typeof given !== "object" || given === null || Array.isArray(given)) throw invalidArgType("pathObject", ["Object"], given);
    const parts = given as Partial<Record<(typeof MEMBERS)[number], string>>;
    const dir = parts.dir || parts.root;
    const ext = parts.ext ? `${parts.ext.startsWith(".") ? "" : "."}${parts.ext}` : "";
    const base = parts.base || `${parts.name || ""}${ext}`;
    if (!dir) return base;
    return dir === parts.root ? `${dir}${base}` : `${dir}${sep}${base}`;
  }

  function parse(given: unknown): ParsedPath {
    const path = requireString(given, "path");
    const parsed: ParsedPath = { root: "", dir: "", base: "", ext: "", name: "" };
    if (path.length === 0) return parsed;
    const length = rootLength(path);
    parsed.root = path.slice(0, length);
    const end = endOfLast(path, length);
    const start = startOfLast(path, length, end);
    parsed.base = path.slice(start, end);
    parsed.ext = extensionOf(parsed.base);
    parsed.name = parsed.base.slice(0, parsed.base.length - parsed.ext.length);
    parsed.dir = start > length ? path.slice(0, start - 1) : parsed.root;
    return parsed;
  }

  function matchesGlob(path: unknown, pattern: unknown): boolean {
    const text = requireString(path, "path");
    const glob = requireString(pattern, "pattern");
    const slashed = (value: string): string => (isWindows ? value.replaceAll("\\", "/") : value);
    return compileGlob(slashed(glob))(slashed(text));
  }

  return {
    basename,
    delimiter: isWindows ? ";" : ":",
    dirname,
    extname,
    format,
    isAbsolute,
    join,
    matchesGlob,
    normalize,
    parse,
    relative,
    resolve,
    sep,
    toNamespacedPath,
    _makeLong: toNamespacedPath,
  };
}

type Path = ReturnType<typeof makeFamily> & { posix: unknown; win32: unknown };

export const posix: Path = { ...makeFamily(POSIX), posix: undefined, win32: undefined };
export const win32: Path = { ...makeFamily(WIN32), posix: undefined, win32: undefined };
posix.posix = win32.posix = posix;
posix.win32 = win32.win32 = win32;

export const pathModule: Record<string, unknown> = { ...posix, default: posix };
export const pathWin32Module: Record<string, unknown> = { ...win32, default: win32 };
