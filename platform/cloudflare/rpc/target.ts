// The callee's side: objects of this Worker that others call, and what of them is public.
//
// A `LocalTarget` is one object with everyone who refers to it: stubs in this Worker and
// references that the host counts. When the last goes, the object's `[Symbol.dispose]` is called.
// What a path may reach follows workerd: of a class instance its prototype's members, never its
// own fields nor what `Object.prototype` has; of a plain object or a function its own properties.
//
// Invariant: `member` never hands out something that the object's author did not make public.

import type { ExportId } from "../../ops.ts";
import { currentInvocation, frameOf, runIn } from "../async-context.ts";
import type { Invocation } from "../context.ts";
import { DISPOSE } from "../symbols.ts";
import { isPropertyOrPromise, isStubLike } from "./stub.ts";

/** Marks a class whose instances travel by reference. */
export class RpcTarget {}
Object.defineProperty(RpcTarget.prototype, Symbol.toStringTag, { value: "RpcTarget", configurable: true });

/** Which of an object's properties are public. */
export type Reach = "own" | "class";

export class LocalTarget {
  readonly object: object;
  readonly reach: Reach;
  readonly invocation: Invocation | undefined;
  #references = 0;
  #wireReferences = 0;
  #id: ExportId = 0;
  readonly #quiet: boolean;

  /** `quiet` objects do not keep their context open: the platform's own callbacks. */
  constructor(object: object, reach: Reach, quiet = false) {
    this.object = object;
    this.reach = reach;
    this.#quiet = quiet;
    this.invocation = currentInvocation();
  }

  retain(): this {
    this.#references++;
    return this;
  }

  release(): void {
    if (--this.#references === 0) this.#dispose();
  }

  /** Adds a reference that the host counts; the number it knows the object by. */
  export(): ExportId {
    this.retain();
    if (this.#wireReferences++ === 0) {
      this.#id = nextExport;
      nextExport = nextExport >= 0xffff_ffff ? 1 : nextExport + 1;
      exported.set(this.#id, this);
      if (!this.#quiet) this.invocation?.exported();
    }
    return this.#id;
  }

  /** The host dropped `count` references. */
  unexport(count: number): void {
    const dropped = Math.min(count, this.#wireReferences);
    this.#wireReferences -= dropped;
    const last = dropped > 0 && this.#wireReferences === 0;
    if (last) exported.delete(this.#id);
    for (let i = 0; i < dropped; i++) this.release();
    if (last && !this.#quiet) this.invocation?.exportGone();
  }

  #dispose(): void {
    const dispose: unknown = (this.object as { [DISPOSE]?: unknown })[DISPOSE];
    if (typeof dispose !== "function") return;
    // Nobody waits for a disposer, so its errors go where unhandled rejections go.
    runIn(frameOf(this.invocation), () => {
      void Promise.resolve().then(() => Reflect.apply(dispose, this.object, []) as unknown);
    });
  }
}

const exported = new Map<ExportId, LocalTarget>();
let nextExport: ExportId = 1;

export function exportedTarget(id: ExportId): LocalTarget | undefined {
  return exported.get(id);
}

/** The objects that others hold. */
export function* exportedObjects(): Generator<object> {
  for (const { object } of exported.values()) yield object;
}

export function releaseExport(id: ExportId, count: number): void {
  exported.get(id)?.unexport(count);
}

/** How `value` may be called by others; undefined when it may not be. */
export function reachOf(value: object): Reach | undefined {
  if (value instanceof RpcTarget) return "class";
  if (Object.getPrototypeOf(value) === Object.prototype) return "own";
  return isFunctionForRpc(value) ? "own" : undefined;
}

export function isFunctionForRpc(value: unknown): boolean {
  return typeof value === "function" && !isPropertyOrPromise(value);
}

export interface Member {
  value: unknown;
  thisArg: unknown;
}

/** Names that a class keeps for itself, whatever its prototype says. */
export const TARGET_RESERVED: ReadonlySet<string> = new Set(["dup", "constructor"]);

/** Follows `path` from `root`. */
export function member(root: unknown, reach: Reach, path: readonly string[], reserved: ReadonlySet<string>): Member {
  let object = root;
  let inStub = isStubLike(root);
  for (let i = 0; i < path.length - 1; i++) {
    const name = path[i] as string;
    const next = property(object, reach, name, reserved);
    if ((typeof next !== "object" && typeof next !== "function") || next === null) notImplemented(name);
    if (Object.getPrototypeOf(next) === Object.prototype || Array.isArray(next)) {
      reach = "own";
    } else if (next instanceof RpcTarget) {
      reach = "class";
    } else if (isStubLike(next) || (inStub && isPropertyOrPromise(next))) {
      reach = "class";
      inStub = true;
    } else if (isFunctionForRpc(next)) {
      reach = "own";
    } else {
      notImplemented(name);
    }
    object = next;
  }
  if (path.length === 0) return { value: root, thisArg: undefined };
  return { value: property(object, reach, path[path.length - 1] as string, reserved), thisArg: object };
}

function property(object: unknown, reach: Reach, name: string, reserved: ReadonlySet<string>): unknown {
  if (reserved.has(name)) {
    throw new TypeError(`'${name}' is a reserved method and cannot be called over RPC.`);
  }
  if ((typeof object !== "object" && typeof object !== "function") || object === null) notImplemented(name);
  const own = Object.hasOwn(object, name);
  if (own !== (reach === "own")) notImplemented(name);
  const value: unknown = (object as Record<string, unknown>)[name];
  if (reach === "class" && value === (Object.prototype as unknown as Record<string, unknown>)[name]) {
    notImplemented(name);
  }
  return value;
}

function notImplemented(name: string): never {
  throw new TypeError(`The RPC receiver does not implement the method "${name}".`);
}

export function pathName(path: readonly string[]): string {
  return path.length === 0 ? "(this)" : path.join(".");
}

/** Calls what stands at the path; `args` undefined reads it. May give a promise. */
export function callMember(found: Member, path: readonly string[], args: readonly unknown[] | undefined): unknown {
  if (args === undefined) return found.value;
  if (typeof found.value !== "function") throw new TypeError(`"${pathName(path)}" is not a function.`);
  return Reflect.apply(found.value, found.thisArg, args) as unknown;
}
