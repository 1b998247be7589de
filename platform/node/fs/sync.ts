// The synchronous functions of node:fs. The others call these: there is no disk to wait for.
//
// Owners, modes and times of access are taken and not kept, as in Workers.

import { blobFromBytes } from "../../web/blob.ts";
import type { Blob } from "../../web/blob.ts";
import { Buffer } from "../buffer.ts";
import { invalidArgType, invalidArgValue, outOfBounds, requireFunction, requireInteger, requireString, coded } from "../errors.ts";
import { checkOneOf } from "../checks.ts";
import {
  bytesOf, flag, optionsOf, requireAccessMode, requireData, requireDate, requireEncodingOption, requireFd, requireFlags, requireMode,
  requirePath, requirePosition, requireUint32, requireViews, settingsOf,
} from "./arguments.ts";
import type { Options } from "./arguments.ts";
import { fsConstants } from "./constants.ts";
import { copyTree } from "./cp.ts";
import { fsError } from "./errors.ts";
import { globNames } from "./glob.ts";
import { Directory, statOf, SymbolicLink } from "./nodes.ts";
import type { Node } from "./nodes.ts";
import { Dir, Dirent, encodedName, makeStats } from "./stats.ts";
import type { Entry, Stats } from "./stats.ts";
import { close, getOpened, nodeFor, open, openedFile, resolve, resolveParent, throughLinks } from "./vfs.ts";
import type { Links } from "./vfs.ts";

const { COPYFILE_FICLONE_FORCE, O_APPEND, O_CREAT, O_EXCL, O_RDWR, O_TRUNC, O_WRONLY, W_OK, X_OK } = fsConstants;

const UID_MAX = 2 ** 32 - 1;

/** The node of a path, which must be there. */
function existing(path: string, syscall: string, links: Links = "follow"): Node {
  const node = resolve(path, links, syscall);
  if (node === undefined) throw fsError("ENOENT", syscall, path);
  return node;
}

export function unsupported(): Error {
  return coded(new Error("The requested operation is unsupported"), "ERR_UNSUPPORTED_OPERATION");
}

// ---- Looking ---------------------------------------------------------------------------------

export function accessSync(given: unknown, mode: unknown = fsConstants.F_OK): void {
  const path = requirePath(given);
  const wanted = requireAccessMode(mode);
  // Nothing is executable.
  const node = (wanted & X_OK) !== 0 ? undefined : resolve(path, "follow", "access");
  if (node === undefined || ((wanted & W_OK) !== 0 && !node.writable)) throw fsError("ENOENT", "access", path);
}

export function existsSync(path: unknown): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}

function statWith(given: unknown, options: unknown, links: Links, syscall: string): Stats | undefined {
  const checked = settingsOf(options);
  const [big, throws] = [flag(checked, "bigint"), flag(checked, "throwIfNoEntry", true)];
  const path = requirePath(given);
  let node: Node | undefined;
  try {
    node = resolve(path, links, syscall);
  } catch (error) {
    if (throws || (error as { code?: string }).code !== "ENOTDIR") throw error;
  }
  if (node !== undefined) return makeStats(statOf(node), big);
  if (throws) throw fsError("ENOENT", syscall, path);
  return undefined;
}

export function statSync(path: unknown, options?: unknown): Stats | undefined {
  return statWith(path, options, "follow", "stat");
}

export function lstatSync(path: unknown, options?: unknown): Stats | undefined {
  return statWith(path, options, "keep", "lstat");
}

export function fstatSync(fd: unknown, options?: unknown): Stats {
  const big = flag(settingsOf(options), "bigint");
  return makeStats(statOf(getOpened(requireFd(fd), "fstat").node), big);
}

export function statfsSync(path: unknown, options?: unknown): Record<string, number | bigint> {
  requirePath(path);
  const big = flag(settingsOf(options), "bigint");
  const names = ["type", "bsize", "blocks", "bfree", "bavail", "files", "ffree"];
  return Object.fromEntries(names.map((name) => [name, big ? 0n : 0]));
}

// ---- Owners, modes, times --------------------------------------------------------------------

function requireOwner(uid: unknown, gid: unknown): void {
  requireInteger(uid, "uid", -1, UID_MAX);
  requireInteger(gid, "gid", -1, UID_MAX);
}

export function chmodSync(path: unknown, mode: unknown): void {
  requireMode(mode, "mode");
  existing(requirePath(path), "chmod");
}

export function lchmodSync(path: unknown, mode: unknown): void {
  requireMode(mode, "mode");
  existing(requirePath(path), "lchmod", "keep");
}

export function fchmodSync(fd: unknown, mode: unknown): void {
  const checked = requireFd(fd);
  requireMode(mode, "mode");
  getOpened(checked, "fchmod");
}

export function chownSync(path: unknown, uid: unknown, gid: unknown): void {
  requireOwner(uid, gid);
  existing(requirePath(path), "chown");
}

export function lchownSync(path: unknown, uid: unknown, gid: unknown): void {
  requireOwner(uid, gid);
  existing(requirePath(path), "lchown", "keep");
}

export function fchownSync(fd: unknown, uid: unknown, gid: unknown): void {
  requireOwner(uid, gid);
  getOpened(requireFd(fd), "fchown");
}

function setModified(node: Node, time: Date, syscall: string): void {
  if (node.kind !== "file") return;
  if (!node.writable) throw fsError("EPERM", syscall);
  const ms = time.getTime();
  node.modified = Number.isNaN(ms) ? 0n : BigInt(Math.round(ms * 1000)) * 1000n;
}

export function utimesSync(path: unknown, atime: unknown, mtime: unknown): void {
  requireDate(atime);
  const time = requireDate(mtime);
  setModified(existing(requirePath(path), "utimes"), time, "utimes");
}

export function lutimesSync(path: unknown, atime: unknown, mtime: unknown): void {
  requireDate(atime);
  const time = requireDate(mtime);
  setModified(existing(requirePath(path), "utimes", "keep"), time, "utimes");
}

export function futimesSync(fd: unknown, atime: unknown, mtime: unknown): void {
  requireDate(atime);
  const time = requireDate(mtime);
  setModified(getOpened(requireFd(fd), "futimes").node, time, "futimes");
}

export function fsyncSync(fd: unknown): void {
  getOpened(requireFd(fd), "fsync");
}

export function fdatasyncSync(fd: unknown): void {
  getOpened(requireFd(fd), "fdatasync");
}

// ---- Open files ------------------------------------------------------------------------------

export function openSync(given: unknown, flags: unknown = "r", mode: unknown = 0o666): number {
  const path = requirePath(given);
  requireMode(mode, "mode", 0o666);
  const bits = requireFlags(flags);
  const write = (bits & (O_WRONLY | O_RDWR)) !== 0;
  return open(path, {
    read: (bits & O_WRONLY) === 0,
    write,
    append: (bits & O_APPEND) !== 0,
    create: (bits & O_CREAT) !== 0,
    exclusive: (bits & O_EXCL) !== 0,
    truncate: write && (bits & O_TRUNC) !== 0,
    links: "follow",
  });
}

export function closeSync(fd: unknown): void {
  close(requireFd(fd));
}

function readViews(fd: number, views: readonly Uint8Array[], position: number | null): number {
  const { entry, file } = openedFile(fd, "read");
  if (!entry.read) throw fsError("EBADF", "read");
  let at = position ?? entry.position;
  let total = 0;
  for (const view of views) {
    const count = file.read(view, at);
    at += count;
    total += count;
    if (count < view.length) break;
  }
  if (position === null) entry.position += total;
  return total;
}

function writeViews(fd: number, views: readonly Uint8Array[], position: number | null): number {
  const { entry, file } = openedFile(fd, "write");
  if (!entry.write) throw fsError("EBADF", "write");
  let at = entry.append ? file.size : (position ?? entry.position);
  let total = 0;
  for (const view of views) {
    const count = file.write(view, at, "write");
    at += count;
    total += count;
  }
  if (position === null && !entry.append) entry.position += total;
  return total;
}

/** The part of a buffer that a read fills. */
export function readTarget(buffer: unknown, offsetOrOptions: unknown, length: unknown, position: unknown): { view: Uint8Array; position: number | null } {
  if (!ArrayBuffer.isView(buffer)) throw invalidArgType("buffer", ["Buffer", "TypedArray", "DataView"], buffer);
  let [offset, count, place] = [offsetOrOptions, length, position];
  if (offset === undefined || offset === null || typeof offset === "object") {
    const options = (offset ?? {}) as Options;
    offset = options["offset"] ?? 0;
    count = options["length"] ?? buffer.byteLength - (offset as number);
    place = options["position"] ?? null;
  } else if (typeof offset !== "number") {
    throw invalidArgType("offset", ["number", "object"], offset);
  }
  const start = requireUint32(offset, "offset");
  const size = requireUint32(count ?? buffer.byteLength - start, "length");
  const at = requirePosition(place);
  if (start + size > buffer.byteLength) throw invalidArgValue("offset", start, "out of bounds");
  return { view: bytesOf(buffer).subarray(start, start + size), position: at };
}

export function readSync(fd: unknown, buffer: unknown, offsetOrOptions: unknown = {}, length?: unknown, position: unknown = null): number {
  const checked = requireFd(fd);
  const target = readTarget(buffer, offsetOrOptions, length, position);
  return target.view.length === 0 ? 0 : readViews(checked, [target.view], target.position);
}

export function readvSync(fd: unknown, buffers: unknown, position: unknown = null): number {
  const checked = requireFd(fd);
  const views = requireViews(buffers).map(bytesOf);
  return views.length === 0 ? 0 : readViews(checked, views, requirePosition(position));
}

/** The bytes that a write takes out of what it was given. */
export function writeSource(buffer: unknown, offsetOrOptions: unknown, length: unknown, position: unknown): { view: Uint8Array; position: number | null } {
  if (typeof buffer === "string") {
    // Here the place comes first, and then the encoding.
    const at = requirePosition(offsetOrOptions);
    const encoding = length === undefined || length === null ? "utf8" : length;
    if (!Buffer.isEncoding(encoding)) throw invalidArgValue("encoding", encoding);
    return { view: Buffer.from(buffer, encoding), position: at };
  }
  if (!ArrayBuffer.isView(buffer)) throw invalidArgType("buffer", ["string", "Buffer", "TypedArray", "DataView"], buffer);
  let [offset, count, place] = [offsetOrOptions, length, position];
  if (typeof offset === "object" && offset !== null) {
    const options = offset as Options;
    [offset, count, place] = [options["offset"], options["length"], options["position"]];
  }
  const start = offset === undefined || offset === null ? 0 : requireInteger(offset, "offset", 0);
  const at = requirePosition(place);
  if (start > buffer.byteLength) throw outOfBounds("offset");
  const size = count === undefined || count === null ? buffer.byteLength - start : requireInteger(count, "length", 0);
  if (start + size > buffer.byteLength) throw outOfBounds("length");
  return { view: bytesOf(buffer).subarray(start, start + size), position: at };
}

export function writeSync(fd: unknown, buffer: unknown, offsetOrOptions: unknown = null, length?: unknown, position?: unknown): number {
  const checked = requireFd(fd);
  const source = writeSource(buffer, offsetOrOptions, length, position);
  return writeViews(checked, [source.view], source.position);
}

export function writevSync(fd: unknown, buffers: unknown, position: unknown = null): number {
  const checked = requireFd(fd);
  const views = requireViews(buffers).map(bytesOf);
  return views.length === 0 ? 0 : writeViews(checked, views, requirePosition(position));
}

export function ftruncateSync(fd: unknown, length: unknown = 0): void {
  const size = requireUint32(length, "len");
  openedFile(requireFd(fd), "ftruncate").file.resize(size, "ftruncate");
}

export function truncateSync(given: unknown, length: unknown = 0): void {
  const size = requireUint32(length, "len");
  if (typeof given === "number") return ftruncateSync(given, size);
  const path = requirePath(given);
  const node = existing(path, "ftruncate");
  if (node.kind === "directory") throw fsError("EISDIR", "ftruncate", path);
  if (node.kind === "file") node.resize(size, "ftruncate");
}

// ---- Whole files -----------------------------------------------------------------------------

export function readFileSync(given: unknown, options?: unknown): string | Buffer {
  const checked = optionsOf(options);
  const encoding = requireEncodingOption(checked["encoding"], null);
  requireFlags(checked["flag"] ?? "r");
  let bytes: Uint8Array;
  if (typeof given === "number") {
    const { entry, file } = openedFile(requireFd(given), "read");
    if (!entry.read) throw fsError("EBADF", "read");
    bytes = file.readAll("read");
    entry.position = file.size;
  } else {
    const path = requirePath(given);
    const node = existing(path, "open");
    if (node.kind === "directory") throw fsError("EISDIR", "read", path);
    if (node.kind === "symlink") throw fsError("EINVAL", "read", path);
    bytes = node.readAll("read");
  }
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return encoding === null || encoding === "buffer" ? buffer : buffer.toString(encoding);
}

export function writeFileSync(given: unknown, data: unknown, options?: unknown): number {
  const target = typeof given === "number" ? requireFd(given) : requirePath(given);
  const checked = optionsOf(options);
  const encoding = requireEncodingOption(checked["encoding"]);
  flag(checked, "flush");
  requireMode(checked["mode"], "options.mode", 0o666);
  const wanted = checked["flag"] ?? "w";
  const bits = requireFlags(wanted);
  const append = (bits & O_APPEND) !== 0;
  if ((bits & (O_WRONLY | O_RDWR)) === 0 && !append) throw invalidArgValue("flag", wanted, "must be indicate write or append");
  const bytes = requireData(data, encoding === "buffer" ? "utf8" : encoding);
  if (typeof target === "number") return writeWhole(target, bytes, append);
  const exclusive = (bits & O_EXCL) !== 0;
  const node = nodeFor(target, { read: false, write: true, append, create: true, exclusive, truncate: !append, links: "follow" });
  return node.kind === "file" ? node.write(bytes, node.size, "write") : 0;
}

function writeWhole(fd: number, bytes: Uint8Array, append: boolean): number {
  const { entry, file } = openedFile(fd, "write");
  if (!entry.write) throw fsError("EBADF", "write");
  if (!file.writable) throw fsError("EPERM", "write");
  if (!append && !entry.append) file.resize(0, "write");
  const count = file.write(bytes, file.size, "write");
  entry.position = file.size;
  return count;
}

export function appendFileSync(given: unknown, data: unknown, options?: unknown): number {
  const checked = optionsOf(options);
  return writeFileSync(given, data, { ...checked, flag: checked["flag"] ?? "a" });
}

export function openAsBlob(given: unknown, options: unknown = {}): Blob {
  const path = requirePath(given);
  const { type = "" } = settingsOf(options);
  const text = requireString(type, "options.type");
  const node = existing(path, "open");
  if (node.kind !== "file") throw fsError("EISDIR", "open", path);
  return blobFromBytes(node.readAll("open"), text);
}

// ---- Directories -----------------------------------------------------------------------------

export function mkdirSync(given: unknown, options: unknown = {}): string | undefined {
  const checked: Options = typeof options === "number" ? { mode: options } : settingsOf(options);
  const recursive = flag(checked, "recursive");
  requireMode(checked["mode"], "mode", 0o777);
  const path = requirePath(given);
  const found = resolve(path, "keep", "mkdir");
  if (found !== undefined) {
    if (found.kind === "directory" && recursive) return undefined;
    throw fsError("EEXIST", "mkdir", path);
  }
  return recursive ? makeAll(path) : makeOne(path);
}

function makeOne(path: string): undefined {
  const place = resolveParent(path, "mkdir");
  if (place === undefined) throw fsError("ENOENT", "mkdir", path);
  place.parent.add(place.name, new Directory(true), "mkdir", path);
  return undefined;
}

/** Makes what is missing; gives the first that was made. */
function makeAll(path: string): string | undefined {
  let first: string | undefined;
  let current = "";
  for (const name of path.split("/").filter((part) => part !== "")) {
    current += `/${name}`;
    const node = resolve(current, "follow", "mkdir");
    if (node === undefined) {
      makeOne(current);
      first ??= current;
    } else if (node.kind !== "directory") {
      throw fsError("ENOTDIR", "mkdir", path);
    }
  }
  return first;
}

let temporaryCount = 0;

export function mkdtempSync(prefix: unknown, options?: unknown): string | Buffer {
  const encoding = requireEncodingOption(optionsOf(options)["encoding"]);
  const path = requirePath(prefix);
  const place = resolveParent(path.endsWith("/") ? `${path}x` : path, "mkdtemp");
  if (place === undefined) throw fsError("ENOENT", "mkdtemp", path);
  const name = `${path.endsWith("/") ? "" : place.name}${temporaryCount++}`;
  place.parent.add(name, new Directory(true), "mkdtemp");
  return encodedName(`${path.slice(0, path.lastIndexOf("/"))}/${name}`, encoding);
}

function entriesOf(path: string, recursive: boolean): Entry[] {
  const node = resolve(path, "follow", "readdir");
  if (node === undefined) throw fsError("ENOENT", "readdir", path);
  if (node.kind !== "directory") throw fsError("ENOTDIR", "readdir", path);
  const entries: Entry[] = [];
  const start = path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
  collect(node, start, "", recursive, entries, new Set());
  return entries;
}

function collect(directory: Directory, parentPath: string, prefix: string, recursive: boolean, entries: Entry[], seen: Set<Directory>): void {
  if (seen.has(directory)) throw fsError("ELOOP", "readdir", parentPath);
  seen.add(directory);
  for (const [key, node] of directory.entries) {
    const name = `${prefix}${key}`;
    entries.push({ name, parentPath, type: direntType(node) });
    if (!recursive) continue;
    const inner = node.kind === "symlink" ? resolve(node.target, "follow", "readdir") : node;
    if (inner?.kind === "directory") collect(inner, `${parentPath === "/" ? "" : parentPath}/${key}`, `${name}/`, recursive, entries, seen);
  }
  seen.delete(directory);
}

export function direntType(node: Node): number {
  if (node.kind === "directory") return fsConstants.UV_DIRENT_DIR;
  if (node.kind === "symlink") return fsConstants.UV_DIRENT_LINK;
  return node.device ? fsConstants.UV_DIRENT_CHAR : fsConstants.UV_DIRENT_FILE;
}

export function readdirSync(given: unknown, options?: unknown): (string | Buffer | Dirent)[] {
  const checked = optionsOf(options);
  const encoding = requireEncodingOption(checked["encoding"]);
  const [typed, recursive] = [flag(checked, "withFileTypes"), flag(checked, "recursive")];
  const entries = entriesOf(requirePath(given), recursive);
  if (!typed) return entries.map((entry) => encodedName(entry.name, encoding));
  return entries.map(({ name, type, parentPath }) => new Dirent(encodedName(name.slice(name.lastIndexOf("/") + 1), encoding), type, parentPath));
}

export function opendirSync(given: unknown, options: unknown = {}): Dir {
  const checked = settingsOf(options);
  const encoding = requireEncodingOption(checked["encoding"]);
  requireUint32(checked["bufferSize"] ?? 32, "options.bufferSize");
  const entries = entriesOf(requirePath(given), flag(checked, "recursive"));
  return new Dir(entries, given, { encoding });
}

export function rmdirSync(given: unknown, options: unknown = {}): void {
  const checked = settingsOf(options);
  requireUint32(checked["maxRetries"] ?? 0, "options.maxRetries");
  requireUint32(checked["retryDelay"] ?? 0, "options.retryDelay");
  const recursive = flag(checked, "recursive");
  const path = requirePath(given);
  const node = existing(path, "rmdir", "keep");
  if (node.kind !== "directory") throw fsError("ENOTDIR", "rmdir", path);
  removeFrom(path, recursive, "rmdir");
}

export function rmSync(given: unknown, options: unknown = {}): void {
  const checked = settingsOf(options);
  const [force, recursive] = [flag(checked, "force"), flag(checked, "recursive")];
  requireUint32(checked["maxRetries"] ?? 0, "options.maxRetries");
  requireUint32(checked["retryDelay"] ?? 0, "options.retryDelay");
  const path = requirePath(given);
  const node = resolve(path, "keep", "rm");
  if (node === undefined) {
    if (force) return;
    throw fsError("ENOENT", "rm", path);
  }
  removeFrom(path, recursive, "rm");
}

function removeFrom(path: string, recursive: boolean, syscall: string): void {
  const place = resolveParent(path, syscall);
  if (place === undefined) throw fsError("ENOENT", syscall, path);
  place.parent.remove(place.name, recursive, syscall, path);
}

export function unlinkSync(given: unknown): void {
  const path = requirePath(given);
  const node = existing(path, "unlink", "keep");
  if (node.kind === "directory") throw fsError("EISDIR", "unlink", path);
  removeFrom(path, false, "unlink");
}

// ---- Copies, names and links -----------------------------------------------------------------

/** Where a new node may go, with whatever is there already an error. */
function freePlace(path: string, syscall: string): { parent: Directory; name: string } {
  if (resolve(path, "follow", syscall) !== undefined) throw fsError("EEXIST", syscall, path);
  const place = resolveParent(path, syscall);
  if (place === undefined) throw fsError("ENOENT", syscall, path);
  return place;
}

export function renameSync(oldPath: unknown, newPath: unknown): void {
  const [from, to] = [requirePath(oldPath), requirePath(newPath)];
  const node = existing(from, "rename", "keep");
  const target = freePlace(to, "rename");
  const source = resolveParent(from, "rename") as { parent: Directory; name: string };
  if (!source.parent.writable) throw fsError("EPERM", "rename", from, to);
  if (`${to}/`.startsWith(`${from}/`)) throw fsError("EINVAL", "rename", from, to);
  target.parent.add(target.name, node, "rename");
  source.parent.remove(source.name, true, "rename");
}

/** Each alone: as in Workers they are not combined. */
const COPY_MODES: readonly number[] = [0, fsConstants.COPYFILE_EXCL, COPYFILE_FICLONE_FORCE, fsConstants.COPYFILE_FICLONE];

export function copyFileSync(src: unknown, dest: unknown, mode: unknown = 0): void {
  const wanted = checkOneOf(mode, "mode", COPY_MODES);
  const [from, to] = [requirePath(src), requirePath(dest)];
  if ((wanted & COPYFILE_FICLONE_FORCE) !== 0) throw unsupported();
  const node = existing(from, "copy");
  if (node.kind === "directory") throw fsError("EISDIR", "copy", from, to);
  const there = resolve(to, "follow", "copy");
  // As in Workers, no copy takes the place of another file, whatever the mode says.
  if (there !== undefined) throw fsError("EEXIST", "copy", from, to);
  const place = freePlace(throughLinks(to, "copy"), "copy");
  if (node.kind === "file") place.parent.add(place.name, node.clone("copy"), "copy");
}

/** Where a link may go. As in Workers, whatever cannot hold one is an invalid argument. */
function linkPlace(path: string, syscall: string): { parent: Directory; name: string } {
  if (path.endsWith("/")) throw fsError("EINVAL", syscall, path);
  try {
    return freePlace(path, syscall);
  } catch (error) {
    throw (error as { code?: string }).code === "ENOTDIR" ? fsError("EINVAL", syscall, path) : error;
  }
}

export function linkSync(existingPath: unknown, newPath: unknown): void {
  const [target, path] = [requirePath(existingPath), requirePath(newPath)];
  const place = linkPlace(path, "link");
  const node = resolve(target, "keep", "link");
  if (node === undefined) throw fsError("ENOENT", "link", target, path);
  if (node.kind === "directory") throw fsError("EPERM", "link", target, path);
  place.parent.add(place.name, node, "link");
}

export function symlinkSync(target: unknown, path: unknown, type: unknown = null): void {
  if (!["dir", "file", "junction", null, undefined].includes(type as string | null)) {
    throw invalidArgValue("type", type, "must be one of: 'dir', 'file', 'junction', null");
  }
  const [to, at] = [requirePath(target), requirePath(path)];
  const place = linkPlace(at, "symlink");
  place.parent.add(place.name, new SymbolicLink(to), "symlink");
}

export function readlinkSync(given: unknown, options?: unknown): string | Buffer {
  const encoding = requireEncodingOption(optionsOf(options)["encoding"]);
  const path = requirePath(given);
  const node = existing(path, "readlink", "keep");
  if (node.kind !== "symlink") throw fsError("EINVAL", "readlink", path);
  return encodedName(node.target, encoding);
}

export function realpathSync(given: unknown, options?: unknown): string | Buffer {
  const encoding = requireEncodingOption(optionsOf(options)["encoding"]);
  const path = requirePath(given);
  // As in Workers, a link that leads nowhere has a real path all the same.
  existing(path, "readlink", "keep");
  return encodedName(realPath(path), encoding);
}
realpathSync.native = realpathSync;

/** The path without links. */
function realPath(path: string): string {
  let real = "";
  for (const name of path.split("/").filter((part) => part !== "")) {
    const next = `${real}/${name}`;
    const node = resolve(next, "keep", "readlink");
    real = node?.kind === "symlink" ? realPath(node.target) : next;
  }
  return real === "" ? "/" : real;
}

export function cpSync(src: unknown, dest: unknown, options: unknown = {}): void {
  const checked = settingsOf(options);
  const settings = {
    dereference: flag(checked, "dereference"),
    errorOnExist: flag(checked, "errorOnExist"),
    force: flag(checked, "force", true),
    recursive: flag(checked, "recursive"),
  };
  flag(checked, "preserveTimestamps");
  flag(checked, "verbatimSymlinks");
  const mode = requireUint32(checked["mode"] ?? 0, "options.mode");
  if ((mode & COPYFILE_FICLONE_FORCE) !== 0) throw invalidArgValue("options.mode", mode, "COPYFILE_FICLONE_FORCE is not supported");
  if (checked["filter"] !== undefined) {
    requireFunction(checked["filter"], "options.filter");
    throw unsupported();
  }
  copyTree(requirePath(src), requirePath(dest), settings);
}

// ---- Patterns --------------------------------------------------------------------------------

export function globSync(pattern: unknown, options: unknown = {}): (string | Dirent)[] {
  return [...globNames(pattern, options)];
}

