// The tree: `/bundle` with the Worker's modules, `/tmp` in memory, `/dev`. And open files.
//
// `/tmp` belongs to an invocation, as in Workers: what one request writes no other sees. Code that runs
// in none has one for itself.
//
// Invariant: nothing outside this process is reachable by any path.

import { currentInvocation } from "../../cloudflare/async-context.ts";
import { modulesByName } from "../../modules/commonjs.ts";
import { engine, ops } from "../../ops.ts";
import { console } from "../../web/console.ts";
import { fsError } from "./errors.ts";
import { BundledFile, Device, Directory, FileNode, MemoryFile } from "./nodes.ts";
import type { Node } from "./nodes.ts";

/** Symbolic links that one path may go through. */
const LINKS_MAX = 40;

/** Names that one path may have, and its characters, as in Workers. */
const NAMES_MAX = 48;
const PATH_LENGTH_MAX = 4096;

/** Files open at a time. */
const OPEN_MAX = 4096;

/** Bytes that one read of a random device may ask for at once. */
const RANDOM_BYTES_MAX = 64 * 1024;

let rootDirectory: Directory | undefined;

const temporary = new WeakMap<object, Directory>();
let outside: Directory | undefined;

/** Whose `/tmp` it is that code sees now. */
function temporaryDirectory(): Directory {
  const invocation = currentInvocation();
  if (invocation === undefined) return (outside ??= new Directory(true));
  let found = temporary.get(invocation);
  if (found === undefined) temporary.set(invocation, (found = new Directory(true)));
  return found;
}

function bundleDirectory(): Directory {
  const bundle = new Directory(false);
  for (const [name, kind] of modulesByName()) {
    const names = name.split("/").filter((part) => part !== "" && part !== ".");
    const last = names.pop();
    if (last === undefined) continue;
    let folder = bundle;
    for (const part of names) {
      const found = folder.entries.get(part);
      if (found !== undefined && found.kind !== "directory") break;
      const next = found ?? new Directory(false);
      folder.entries.set(part, next);
      folder = next;
    }
    const isBytes = kind === "data" || kind === "wasm";
    folder.entries.set(last, new BundledFile(() => (isBytes ? new Uint8Array(engine.moduleBytes(name)) : ops.textEncode(engine.moduleText(name)))));
  }
  return bundle;
}

function deviceDirectory(): Directory {
  const devices = new Directory(false);
  devices.entries.set("null", new Device({}));
  devices.entries.set("zero", new Device({ fill: (into) => into.fill(0) }));
  devices.entries.set("full", new Device({ fill: (into) => into.fill(0), refuse: true }));
  devices.entries.set("random", new Device({ fill: fillRandom, refuse: true }));
  return devices;
}

function fillRandom(into: Uint8Array): void {
  for (let at = 0; at < into.length; at += RANDOM_BYTES_MAX) {
    into.set(ops.randomBytes(Math.min(RANDOM_BYTES_MAX, into.length - at)), at);
  }
}

/** The tree as code sees it now. */
/** While true nothing here may be looked at. */
let isClosed = false;
const CLOSED: unique symbol = Symbol("only arguments are checked");

/** Runs `work` up to its first look at files, and gives what it threw: arguments are checked before that. */
export function checkArguments(work: () => unknown): unknown {
  isClosed = true;
  try {
    work();
  } catch (error) {
    return error === CLOSED ? undefined : error;
  } finally {
    isClosed = false;
  }
  return undefined;
}

export function root(): Directory {
  if (isClosed) throw CLOSED;
  if (rootDirectory === undefined) {
    rootDirectory = new Directory(false);
    rootDirectory.entries.set("bundle", bundleDirectory());
    rootDirectory.entries.set("tmp", temporaryDirectory());
    rootDirectory.entries.set("dev", deviceDirectory());
  }
  rootDirectory.entries.set("tmp", temporaryDirectory());
  return rootDirectory;
}

// ---- Paths -----------------------------------------------------------------------------------

/** The names of a path, worked off. */
export function namesOf(path: string): string[] {
  if (path.length > PATH_LENGTH_MAX) throw new Error("File path is too long");
  const names: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") names.pop();
    else names.push(part);
  }
  if (names.length > NAMES_MAX) throw new Error("File path has too many segments");
  return names;
}

export type Links = "follow" | "keep";

/** The node that a path names. Links on the way are always followed, the last one if `links` says so. */
export function resolve(path: string, links: Links, syscall: string): Node | undefined {
  let names = namesOf(path);
  let node: Node = root();
  let seen = 0;
  for (let at = 0; at < names.length; at++) {
    if (node.kind === "file") throw fsError("ENOTDIR", syscall, path);
    if (node.kind !== "directory") return undefined;
    const next: Node | undefined = node.entries.get(names[at] as string);
    if (next === undefined) return undefined;
    if (next.kind === "symlink" && (at < names.length - 1 || links === "follow")) {
      if (++seen > LINKS_MAX) throw fsError("ELOOP", syscall, path);
      names = [...namesOf(next.target), ...names.slice(at + 1)];
      node = root();
      at = -1;
      continue;
    }
    node = next;
  }
  return node;
}

/** The directory that a path's last name is in, and that name. */
export function resolveParent(path: string, syscall: string): { parent: Directory; name: string } | undefined {
  const names = namesOf(path);
  const name = names.pop();
  if (name === undefined) throw fsError("EPERM", syscall, path);
  const parent = resolve(`/${names.join("/")}`, "follow", syscall);
  if (parent === undefined) return undefined;
  if (parent.kind !== "directory") throw fsError("ENOTDIR", syscall, path);
  return { parent, name };
}

/** Where a link that leads nowhere points to: a file made through it is made there. */
export function throughLinks(path: string, syscall: string): string {
  let current = path;
  for (let seen = 0; seen <= LINKS_MAX; seen++) {
    const node = resolve(current, "keep", syscall);
    if (node?.kind !== "symlink") return current;
    current = node.target;
  }
  throw fsError("ELOOP", syscall, path);
}

// ---- Open files ------------------------------------------------------------------------------

export interface Opened {
  readonly node: Node;
  readonly path: string;
  readonly read: boolean;
  readonly write: boolean;
  readonly append: boolean;
  position: number;
}

const opened = new Map<number, Opened>();
let nextFd = 3;

/** Standard streams are always open. */
const STDIO: (Opened | undefined)[] = [];

function stdio(fd: number): Opened {
  const log = fd === 2 ? console.error : console.log;
  const text = (bytes: Uint8Array): string => ops.textDecodeUtf8(bytes, false, false).replace(/\n$/, "");
  return (STDIO[fd] ??= {
    node: new Device(fd === 0 ? {} : { log: (bytes) => log(text(bytes)) }, "file"),
    path: "",
    read: true,
    write: true,
    append: true,
    position: 0,
  });
}

export interface OpenFlags {
  read: boolean;
  write: boolean;
  append: boolean;
  create: boolean;
  exclusive: boolean;
  truncate: boolean;
  links: Links;
}

/** The node that these flags open, made where they say so. */
export function nodeFor(path: string, flags: OpenFlags): Node {
  let node = resolve(path, flags.exclusive && flags.create ? "keep" : flags.links, "open");
  if (node !== undefined && flags.create && flags.exclusive) throw fsError("EEXIST", "open", path);
  if (node === undefined) {
    if (!flags.create) throw fsError("ENOENT", "open", path);
    const place = resolveParent(throughLinks(path, "open"), "open");
    if (place === undefined) throw fsError("ENOENT", "open", path);
    node = new MemoryFile();
    place.parent.add(place.name, node, "open", path);
  }
  if (flags.write) {
    if (node.kind === "directory") throw fsError("EISDIR", "open", path);
    if (node.kind === "symlink" || !node.writable) throw fsError("EPERM", "open", path);
    // What is empty stays as it is, its time with it.
    if (flags.truncate && node instanceof MemoryFile && node.size > 0) node.resize(0, "open");
  }
  return node;
}

export function open(path: string, flags: OpenFlags): number {
  if (opened.size >= OPEN_MAX) throw fsError("EMFILE", "open", path);
  const node = nodeFor(path, flags);
  const fd = nextFd++;
  opened.set(fd, { node, path, read: flags.read, write: flags.write, append: flags.append, position: 0 });
  return fd;
}

export function getOpened(fd: number, syscall: string): Opened {
  if (isClosed) throw CLOSED;
  if (fd <= 2) return stdio(fd);
  const found = opened.get(fd);
  if (found === undefined) throw fsError("EBADF", syscall);
  return found;
}

export function openedFile(fd: number, syscall: string): { entry: Opened; file: FileNode } {
  const entry = getOpened(fd, syscall);
  const { node } = entry;
  if (node.kind === "directory") throw fsError("EISDIR", syscall);
  if (node.kind === "symlink") throw fsError("EINVAL", syscall);
  return { entry, file: node };
}

export function close(fd: number): void {
  if (isClosed) throw CLOSED;
  if (fd > 2 && !opened.delete(fd)) throw fsError("EBADF", "close");
}

export function isOpen(fd: number): boolean {
  return fd <= 2 || opened.has(fd);
}
