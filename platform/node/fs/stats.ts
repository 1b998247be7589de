// Stats, Dirent and Dir: what node:fs tells of files.

import { Buffer } from "../buffer.ts";
import { coded, missingArgs, requireFunction, requireObject, requireString } from "../errors.ts";
import { nextTick } from "../ticks.ts";
import { fsConstants } from "./constants.ts";
import type { NodeStat } from "./nodes.ts";

const { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } = fsConstants;
const KINDS = { file: S_IFREG, directory: S_IFDIR, symlink: S_IFLNK };

/** Handed by this module's callers, so that nobody else makes one. */
const badge: unique symbol = Symbol("badge");

type Amount = number | bigint;

export class Stats {
  dev: Amount;
  ino: Amount;
  mode: Amount;
  nlink: Amount;
  uid: Amount;
  gid: Amount;
  rdev: Amount;
  size: Amount;
  blksize: Amount;
  blocks: Amount;
  atimeMs: Amount;
  mtimeMs: Amount;
  ctimeMs: Amount;
  birthtimeMs: Amount;
  atimeNs?: bigint;
  mtimeNs?: bigint;
  ctimeNs?: bigint;
  birthtimeNs?: bigint;
  atime: Date;
  mtime: Date;
  ctime: Date;
  birthtime: Date;

  constructor(token: unknown, stat: NodeStat, big: boolean) {
    if (token !== badge) throw new TypeError("Illegal constructor");
    const mode = 0o444 | (stat.writable ? 0o222 : 0) | (stat.device ? S_IFCHR : KINDS[stat.type]);
    const amount = (value: number): Amount => (big ? BigInt(value) : value);
    // Nothing here has a meaning: there is one user, one disk, and no blocks.
    this.dev = amount(stat.device ? 1 : 0);
    this.ino = amount(0);
    this.mode = amount(mode);
    this.nlink = amount(1);
    this.uid = amount(0);
    this.gid = amount(0);
    this.rdev = amount(0);
    this.size = amount(stat.size);
    this.blksize = amount(0);
    this.blocks = amount(0);
    const ms = (time: bigint): Amount => (big ? time / 1_000_000n : Number(time) / 1_000_000);
    this.atimeMs = ms(0n);
    this.mtimeMs = ms(stat.modified);
    this.ctimeMs = ms(stat.modified);
    this.birthtimeMs = ms(stat.created);
    if (big) {
      this.atimeNs = 0n;
      this.mtimeNs = stat.modified;
      this.ctimeNs = stat.modified;
      this.birthtimeNs = stat.created;
    }
    this.atime = new Date(0);
    this.mtime = new Date(Number(this.mtimeMs));
    this.ctime = new Date(Number(this.ctimeMs));
    this.birthtime = new Date(Number(this.birthtimeMs));
  }

  #is(kind: number): boolean {
    return (Number(this.mode) & S_IFMT) === kind;
  }
  isBlockDevice(): boolean {
    return this.#is(S_IFBLK);
  }
  isCharacterDevice(): boolean {
    return this.#is(S_IFCHR);
  }
  isDirectory(): boolean {
    return this.#is(S_IFDIR);
  }
  isFIFO(): boolean {
    return this.#is(S_IFIFO);
  }
  isFile(): boolean {
    return this.#is(S_IFREG);
  }
  isSocket(): boolean {
    return this.#is(S_IFSOCK);
  }
  isSymbolicLink(): boolean {
    return this.#is(S_IFLNK);
  }
}

export function makeStats(stat: NodeStat, big: boolean): Stats {
  return new Stats(badge, stat, big);
}

export interface Entry {
  name: string;
  parentPath: string;
  type: number;
}

export class Dirent {
  name: string | Buffer;
  parentPath: string;
  readonly #type: number;

  constructor(name: string | Buffer, type: number, parentPath: string) {
    this.name = name;
    this.parentPath = parentPath;
    this.#type = type;
  }

  get path(): string {
    return this.parentPath;
  }
  isFile(): boolean {
    return this.#type === fsConstants.UV_DIRENT_FILE;
  }
  isDirectory(): boolean {
    return this.#type === fsConstants.UV_DIRENT_DIR;
  }
  isSymbolicLink(): boolean {
    return this.#type === fsConstants.UV_DIRENT_LINK;
  }
  isCharacterDevice(): boolean {
    return this.#type === fsConstants.UV_DIRENT_CHAR;
  }
  isBlockDevice(): boolean {
    return this.#type === fsConstants.UV_DIRENT_BLOCK;
  }
  isFIFO(): boolean {
    return this.#type === fsConstants.UV_DIRENT_FIFO;
  }
  isSocket(): boolean {
    return this.#type === fsConstants.UV_DIRENT_SOCKET;
  }
}

/** A name in an encoding. */
export function encodedName(name: string, encoding: string | null): string | Buffer {
  const bytes = Buffer.from(name);
  return encoding === "buffer" || encoding === null ? bytes : bytes.toString(encoding);
}

function closed(): Error {
  return coded(new Error("Directory handle was closed"), "ERR_DIR_CLOSED");
}

/** A directory as it was when it was opened. */
export class Dir {
  #entries: Entry[] | undefined;
  readonly #path: unknown;
  readonly #encoding: string;

  constructor(entries: Entry[] | undefined, path: unknown, options: unknown) {
    if (entries === undefined || entries === null) throw missingArgs("handle");
    const { encoding = "utf8" } = requireObject(options, "options");
    this.#entries = entries;
    this.#path = path;
    this.#encoding = requireString(encoding, "options.encoding");
  }

  get path(): unknown {
    return this.#path;
  }

  read(callback?: unknown): Promise<Dirent | null> | undefined {
    if (callback === undefined) return Promise.try(() => this.readSync());
    const work = requireFunction(callback, "callback");
    try {
      nextTick(work, null, this.readSync());
    } catch (error) {
      nextTick(work, error, null);
    }
    return undefined;
  }

  readSync(): Dirent | null {
    if (this.#entries === undefined) throw closed();
    const entry = this.#entries.shift();
    return entry === undefined ? null : new Dirent(encodedName(entry.name, this.#encoding), entry.type, entry.parentPath);
  }

  close(callback?: unknown): Promise<void> | undefined {
    if (callback === undefined) return Promise.try(() => this.closeSync());
    const work = requireFunction(callback, "callback");
    this.closeSync();
    nextTick(work, null);
    return undefined;
  }

  closeSync(): void {
    if (this.#entries === undefined) throw closed();
    this.#entries = undefined;
  }

  async *entries(): AsyncGenerator<Dirent> {
    try {
      for (let entry = this.readSync(); entry !== null; entry = this.readSync()) yield entry;
    } finally {
      if (this.#entries !== undefined) this.closeSync();
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<Dirent> {
    return this.entries();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#entries !== undefined) this.closeSync();
  }

  [Symbol.dispose](): void {
    if (this.#entries !== undefined) this.closeSync();
  }
}

