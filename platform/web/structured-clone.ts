// structuredClone (HTML).
//
// The engine clones what the language has. Objects of the platform's classes keep their state in private
// fields, which the engine would silently drop: they are cloned here where the standard says that they
// can be (DOMException, Blob, File), and Headers, as in Workers; others are refused by name. A value
// without any of them goes to the engine in one piece.
//
// Deliberately absent for now: transfer of anything but ArrayBuffers.
//
// Invariant: no object of a platform class reaches the engine's clone.

import { engine } from "../ops.ts";
import { type File, blobBytes, blobFromBytes, fileFromBytes, isBlob, isFile } from "./blob.ts";
import { DOMException, isDOMException } from "./dom-exception.ts";
import { Headers, isHeaders } from "./headers.ts";
import { dictionary, isInterfacePrototype, isObject, object, requireArguments, sequence, withDefault } from "./webidl.ts";

const cloneOptions = dictionary("StructuredSerializeOptions", {
  transfer: withDefault(sequence(object), () => []),
});

const { getOwnPropertyDescriptor, getPrototypeOf } = Object;
const { ownKeys } = Reflect;

export function structuredClone(value: unknown, options: unknown = undefined): unknown {
  requireArguments(arguments.length, 1, "structuredClone");
  const { transfer } = cloneOptions(options, "structuredClone: options");
  for (const item of transfer) {
    const name = platformClass(item);
    if (name !== undefined) {
      throw dataCloneError(`${name} cannot be transferred yet`);
    }
  }
  if (!isObject(value)) {
    return cloneByEngine(value, transfer);
  }
  if (!holdsPlatformObject(value, new Set())) {
    return cloneByEngine(value, transfer);
  }
  return new Cloner(transfer).clone(value);
}

function dataCloneError(message: string): DOMException {
  return new DOMException(message, "DataCloneError");
}

function cloneByEngine(value: unknown, transfer: unknown[]): unknown {
  try {
    return engine.structuredClone(value, transfer);
  } catch (error) {
    if (error instanceof Error && error.name === "DataCloneError" && !isDOMException(error)) {
      const plain = typeof value === "function" || typeof value === "symbol";
      throw dataCloneError(plain ? `${String(value)} could not be cloned.` : error.message);
    }
    throw error;
  }
}

/** The name of the platform class that `value` is an object of. */
function platformClass(value: object): string | undefined {
  for (let holder = getPrototypeOf(value) as object | null; holder !== null; holder = getPrototypeOf(holder) as object | null) {
    if (isInterfacePrototype(holder)) {
      const { constructor } = holder as { constructor: { name: string } };
      return constructor.name;
    }
  }
  return undefined;
}

/** Looks through what the engine would walk, without running a getter. */
function holdsPlatformObject(value: unknown, seen: Set<object>): boolean {
  if (typeof value !== "object" || value === null || seen.has(value)) {
    return false;
  }
  if (platformClass(value) !== undefined) {
    return true;
  }
  seen.add(value);
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    return false;
  }
  if (value instanceof Map) {
    for (const [key, item] of Map.prototype.entries.call(value) as Iterable<[unknown, unknown]>) {
      if (holdsPlatformObject(key, seen) || holdsPlatformObject(item, seen)) {
        return true;
      }
    }
  } else if (value instanceof Set) {
    for (const item of Set.prototype.values.call(value) as Iterable<unknown>) {
      if (holdsPlatformObject(item, seen)) {
        return true;
      }
    }
  }
  if (engine.proxyDetails(value) !== undefined) {
    // The engine refuses proxies by itself.
    return false;
  }
  return ownKeys(value).some((key) => {
    const descriptor = typeof key === "string" ? getOwnPropertyDescriptor(value, key) : undefined;
    return descriptor?.enumerable === true && holdsPlatformObject(descriptor.value, seen);
  });
}

/** The slow way, for values that have a platform object somewhere inside. */
class Cloner {
  readonly #transfer: object[];
  readonly #copies = new Map<object, unknown>();

  constructor(transfer: object[]) {
    this.#transfer = transfer;
  }

  clone(value: unknown): unknown {
    if (!isObject(value)) {
      return cloneByEngine(value, []);
    }
    const known = this.#copies.get(value);
    if (known !== undefined) {
      return known;
    }
    const name = platformClass(value);
    if (name !== undefined) {
      const copy = clonePlatformObject(value, name);
      this.#copies.set(value, copy);
      return copy;
    }
    return this.#cloneObject(value);
  }

  #cloneObject(value: object): unknown {
    if (Array.isArray(value)) {
      const copy: unknown[] = [];
      copy.length = value.length;
      return this.#withProperties(value, copy);
    }
    if (value instanceof Map) {
      const copy = this.#remember(value, new Map<unknown, unknown>());
      for (const [key, item] of [...(Map.prototype.entries.call(value) as Iterable<[unknown, unknown]>)]) {
        copy.set(this.clone(key), this.clone(item));
      }
      return copy;
    }
    if (value instanceof Set) {
      const copy = this.#remember(value, new Set<unknown>());
      for (const item of [...(Set.prototype.values.call(value) as Iterable<unknown>)]) {
        copy.add(this.clone(item));
      }
      return copy;
    }
    if (Object.prototype.toString.call(value) === "[object Object]" && typeof value !== "function" && !isBoxed(value)) {
      return this.#withProperties(value, {});
    }
    // Everything else holds no platform object, or only in properties that a clone does not keep.
    const transfer = this.#transfer.filter((item) => item === value || (ArrayBuffer.isView(value) && value.buffer === item));
    return this.#remember(value, cloneByEngine(value, transfer));
  }

  #remember<T>(value: object, copy: T): T {
    this.#copies.set(value, copy);
    return copy;
  }

  #withProperties(value: object, copy: object): object {
    this.#remember(value, copy);
    for (const key of Object.keys(value)) {
      const item = this.clone((value as Record<string, unknown>)[key]);
      Object.defineProperty(copy, key, { value: item, writable: true, enumerable: true, configurable: true });
    }
    return copy;
  }
}

/** Weak collections, promises and the like also print as plain objects if someone hides their tag. */
function isBoxed(value: object): boolean {
  return value instanceof Error || value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet;
}

function clonePlatformObject(value: object, name: string): object {
  if (isDOMException(value)) {
    const copy = new DOMException(value.message, value.name);
    const { stack } = value;
    if (typeof stack === "string") {
      Object.defineProperty(copy, "stack", { value: stack, writable: true, enumerable: false, configurable: true });
    }
    return copy;
  }
  if (isHeaders(value)) {
    return new Headers(value);
  }
  if (isFile(value)) {
    const file: File = value;
    return fileFromBytes(blobBytes(file), file.name, file.type, file.lastModified);
  }
  if (isBlob(value)) {
    return blobFromBytes(blobBytes(value), value.type);
  }
  throw dataCloneError(`Could not serialize object of type "${name}". This type does not support serialization.`);
}
