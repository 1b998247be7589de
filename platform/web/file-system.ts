// The File System Standard over the Worker's own tree of files (see `../node/fs/vfs.ts`).
//
// It is there with the flag `enable_web_file_system`. Sync access handles are absent, and permissions and
// locks: nobody else is there to be kept out.
//
// Invariant: what a writable is given is in the file only once the writable is closed.

import { DOMException } from "./dom-exception.ts";
import { blobBytes, fileFromBytes, isBlob } from "./blob.ts";
import type { File } from "./blob.ts";
import { ops } from "../ops.ts";
import { Directory, FileNode, MemoryFile } from "../node/fs/nodes.ts";
import type { Node } from "../node/fs/nodes.ts";
import { resolve, root } from "../node/fs/vfs.ts";
import { WritableStream } from "./streams/writable.ts";
import { bytesCopy, defineInterface, internalToken, isBufferSource, requireArguments, requireInternal } from "./webidl.ts";

type Kind = "file" | "directory";

const notFound = (): DOMException => new DOMException("Not found", "NotFoundError");
const mismatch = (): DOMException => new DOMException("The entry is of another kind", "TypeMismatchError");

/** Errors of the tree in the words of the web. */
function asDomException(error: unknown): unknown {
  const code = (error as { code?: string } | null)?.code;
  if (code === "EPERM") return new DOMException("Operation not permitted", "NotAllowedError");
  if (code === "ENOTEMPTY") return new DOMException("Directory not empty", "InvalidModificationError");
  return code === "ENOSPC" || code === "EFBIG" ? new DOMException("There is no room for this", "QuotaExceededError") : error;
}

function attempt<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw asDomException(error);
  }
}

let nodeOf: (handle: FileSystemHandle) => Node;

export class FileSystemHandle {
  readonly #node: Node;
  readonly #name: string;
  readonly #kind: Kind;

  constructor(token: unknown, node: unknown = undefined, name: unknown = undefined) {
    requireInternal(token);
    this.#node = node as Node;
    this.#name = name as string;
    this.#kind = this.#node.kind === "directory" ? "directory" : "file";
  }

  get kind(): Kind {
    return this.#kind;
  }

  get name(): string {
    return this.#name;
  }

  async isSameEntry(other: unknown): Promise<boolean> {
    if (!(other instanceof FileSystemHandle)) throw new TypeError("FileSystemHandle.isSameEntry: other is not a FileSystemHandle");
    return other.#node === this.#node;
  }

  static {
    nodeOf = (handle) => handle.#node;
  }
}
defineInterface(FileSystemHandle);

function requireName(value: unknown): string {
  const name = String(value);
  if (name === "" || name === "." || name === ".." || name.includes("/")) throw new TypeError(`"${name}" is no name of a file`);
  return name;
}

function handleOf(node: Node, name: string): FileSystemFileHandle | FileSystemDirectoryHandle {
  // Links are followed: the web knows none.
  const target = node.kind === "symlink" ? resolve(node.target, "follow", "open") : node;
  if (target === undefined) throw notFound();
  return target.kind === "directory" ? new FileSystemDirectoryHandle(internalToken, target, name) : new FileSystemFileHandle(internalToken, target, name);
}

export class FileSystemDirectoryHandle extends FileSystemHandle {
  #open<T extends FileSystemHandle>(given: unknown, options: unknown, kind: Kind, make: () => Node): T {
    const name = requireName(given);
    const directory = nodeOf(this) as Directory;
    let node = directory.entries.get(name);
    if (node === undefined) {
      if (!(options as { create?: unknown } | undefined)?.create) throw notFound();
      node = make();
      const added = node;
      attempt(() => directory.add(name, added, "open"));
    }
    const handle = handleOf(node, name);
    if (handle.kind !== kind) throw mismatch();
    return handle as FileSystemHandle as T;
  }

  async getFileHandle(name: unknown, options: unknown = undefined): Promise<FileSystemFileHandle> {
    requireArguments(arguments.length, 1, "FileSystemDirectoryHandle.getFileHandle");
    return this.#open<FileSystemFileHandle>(name, options, "file", () => new MemoryFile());
  }

  async getDirectoryHandle(name: unknown, options: unknown = undefined): Promise<FileSystemDirectoryHandle> {
    requireArguments(arguments.length, 1, "FileSystemDirectoryHandle.getDirectoryHandle");
    return this.#open<FileSystemDirectoryHandle>(name, options, "directory", () => new Directory(true));
  }

  async removeEntry(given: unknown, options: unknown = undefined): Promise<void> {
    requireArguments(arguments.length, 1, "FileSystemDirectoryHandle.removeEntry");
    const name = requireName(given);
    const recursive = Boolean((options as { recursive?: unknown } | undefined)?.recursive);
    if (!attempt(() => (nodeOf(this) as Directory).remove(name, recursive, "rm"))) throw notFound();
  }

  async resolve(descendant: unknown): Promise<string[] | null> {
    if (!(descendant instanceof FileSystemHandle)) throw new TypeError("FileSystemDirectoryHandle.resolve: possibleDescendant is not a FileSystemHandle");
    return pathTo(nodeOf(this), nodeOf(descendant));
  }

  async *entries(): AsyncGenerator<[string, FileSystemHandle]> {
    for (const [name, node] of [...(nodeOf(this) as Directory).entries]) yield [name, handleOf(node, name)];
  }

  async *keys(): AsyncGenerator<string> {
    yield* [...(nodeOf(this) as Directory).entries.keys()];
  }

  async *values(): AsyncGenerator<FileSystemHandle> {
    for await (const [, handle] of this.entries()) yield handle;
  }

  [Symbol.asyncIterator](): AsyncGenerator<[string, FileSystemHandle]> {
    return this.entries();
  }
}
defineInterface(FileSystemDirectoryHandle);

function pathTo(from: Node, target: Node): string[] | null {
  if (from === target) return [];
  if (from.kind !== "directory") return null;
  for (const [name, node] of from.entries) {
    const rest = pathTo(node, target);
    if (rest !== null) return [name, ...rest];
  }
  return null;
}

export class FileSystemFileHandle extends FileSystemHandle {
  async getFile(): Promise<File> {
    const node = nodeOf(this) as FileNode;
    return fileFromBytes(attempt(() => node.readAll("read")), this.name, "", Number(node.modified / 1_000_000n));
  }

  async createWritable(options: unknown = undefined): Promise<FileSystemWritableFileStream> {
    const keeps = Boolean((options as { keepExistingData?: unknown } | undefined)?.keepExistingData);
    return new FileSystemWritableFileStream(internalToken, nodeOf(this), keeps);
  }
}
defineInterface(FileSystemFileHandle);

interface WriteParams {
  type?: unknown;
  data?: unknown;
  position?: unknown;
  size?: unknown;
}

function bytesFor(data: unknown): Uint8Array {
  if (isBufferSource(data)) return bytesCopy(data);
  return isBlob(data) ? blobBytes(data) : ops.textEncode(String(data));
}

export class FileSystemWritableFileStream extends WritableStream {
  constructor(token: unknown, node: unknown = undefined, keeps: unknown = undefined) {
    requireInternal(token);
    const target = node as FileNode;
    const draft = new MemoryFile();
    if (keeps === true) draft.write(target.readAll("read"), 0, "write");
    let position = 0;
    const put = (data: unknown): void => {
      const bytes = bytesFor(data);
      draft.write(bytes, position, "write");
      position += bytes.length;
    };
    const change = (chunk: unknown): void => {
      const params = chunk as WriteParams;
      if (typeof chunk !== "object" || chunk === null || isBufferSource(chunk) || isBlob(chunk)) {
        put(chunk);
      } else if (params.type === "write") {
        if (params.position !== undefined) position = Number(params.position);
        put(params.data);
      } else if (params.type === "seek") {
        position = Number(params.position);
      } else if (params.type === "truncate") {
        draft.resize(Number(params.size), "truncate");
        position = Math.min(position, draft.size);
      } else {
        throw new TypeError("FileSystemWritableFileStream.write: the data is neither bytes, text, a Blob nor a WriteParams");
      }
    };
    super({
      write: (chunk: unknown) => attempt(() => change(chunk)),
      close: () =>
        attempt(() => {
          if (target instanceof MemoryFile) target.resize(0, "write");
          target.write(draft.readAll(), 0, "write");
        }),
    });
  }

  async #send(chunk: unknown): Promise<void> {
    const writer = this.getWriter();
    try {
      await writer.write(chunk);
    } finally {
      writer.releaseLock();
    }
  }

  write(data: unknown): Promise<void> {
    requireArguments(arguments.length, 1, "FileSystemWritableFileStream.write");
    return this.#send(data);
  }

  seek(position: unknown): Promise<void> {
    return this.#send({ type: "seek", position });
  }

  truncate(size: unknown): Promise<void> {
    return this.#send({ type: "truncate", size });
  }
}
defineInterface(FileSystemWritableFileStream);

export class StorageManager {
  constructor(token: unknown = undefined) {
    requireInternal(token);
  }

  async getDirectory(): Promise<FileSystemDirectoryHandle> {
    return new FileSystemDirectoryHandle(internalToken, root(), "");
  }
}
defineInterface(StorageManager);

/** Puts all of it in place: `navigator.storage` and the names on the global object. */
export function fileSystemGlobals(navigator: object): Record<string, unknown> {
  const storage = new StorageManager(internalToken);
  Object.defineProperty(Object.getPrototypeOf(navigator) as object, "storage", { get: () => storage, enumerable: true, configurable: true });
  return { FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemHandle, FileSystemWritableFileStream, StorageManager };
}
