// node:process, as much of it as means something without a process of one's own.
//
// `env` has the Worker's variables, as text; `nextTick` is a microtask; `stdout` and `stderr` write
// whole lines to the log. What would change the machine throws. Absent: `stdin`, users and groups,
// reports, and events of the process itself ("exit", "unhandledRejection"): the global object's are
// the ones to listen to.
//
// Invariant: `env` is made when it is first asked for: most Workers never do.

import { failUnanswered } from "../cloudflare/context.ts";
import { ownEnv } from "../cloudflare/env.ts";
import { has } from "../cloudflare/compat.ts";
import { flushCalls } from "../cloudflare/queue.ts";
import { ops, wire } from "../ops.ts";
import { console } from "../web/console.ts";
import { queueMicrotask } from "../web/microtask.ts";
import { isUint8Array } from "./buffer-kinds.ts";
import { encodings } from "./buffer-text.ts";
import { invalidArgType, notSupported, outOfRange, requireFunction, requireString } from "./errors.ts";
import { EventEmitter } from "./events.ts";
import { warnings } from "./ticks.ts";

/** What Workers say they are. */
const NODE_VERSION = "22.19.0";

// ---- Variables -------------------------------------------------------------------------------

/** Whether JSON keeps all of a value: plain objects and lists of plain values, none of them twice. */
function isPlain(value: unknown, seen: Set<unknown> = new Set()): boolean {
  if (value === null || ["boolean", "number", "string"].includes(typeof value)) return true;
  if (typeof value !== "object" || seen.has(value)) return false;
  seen.add(value);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== Array.prototype) return false;
  return Object.values(value).every((inner) => isPlain(inner, seen));
}

function variables(): Record<string, string> {
  const texts: Record<string, string> = {};
  if (!has("nodejs_compat_populate_process_env")) return texts;
  for (const [name, value] of Object.entries(ownEnv())) {
    if (typeof value === "string") texts[name] = value;
    else if (isPlain(value)) texts[name] = JSON.stringify(value);
  }
  return texts;
}

const KEEPS_TEXTS: ProxyHandler<Record<string, string>> = {
  set(target, name, value: unknown): boolean {
    if (typeof name === "symbol" || typeof value === "symbol") throw new TypeError("Cannot convert a Symbol value to a string");
    return Reflect.set(target, name, String(value));
  },
  defineProperty(target, name, descriptor): boolean {
    if (typeof name === "symbol") throw new TypeError("Cannot convert a Symbol value to a string");
    const { configurable, enumerable, writable } = descriptor;
    if (!(configurable && enumerable && writable) || !("value" in descriptor)) {
      const message = "'process.env' only accepts a configurable, writable, and enumerable data descriptor";
      throw Object.assign(new TypeError(message), { code: "ERR_INVALID_OBJECT_DEFINE_PROPERTY" });
    }
    return Reflect.defineProperty(target, name, { ...descriptor, value: String(descriptor.value) });
  },
};

// ---- Output ----------------------------------------------------------------------------------

/** Collects what is written until a line ends, or until the turn does. */
function output(fd: 1 | 2, log: (line: string) => void): Record<string, unknown> {
  let partial = "";
  let isFlushQueued = false;
  const flush = (): void => {
    isFlushQueued = false;
    if (partial !== "") log(partial);
    partial = "";
  };
  const write = (chunk: unknown, encoding?: unknown, callback?: unknown): boolean => {
    if (typeof chunk !== "string" && !isUint8Array(chunk)) throw invalidArgType("chunk", ["string", "Buffer", "Uint8Array"], chunk);
    const lines = (partial + (typeof chunk === "string" ? chunk : encodings.utf8.decode(chunk))).split("\n");
    partial = lines.pop() ?? "";
    for (const line of lines) log(line);
    if (partial !== "" && !isFlushQueued) {
      isFlushQueued = true;
      queueMicrotask(flush);
    }
    const done = typeof encoding === "function" ? encoding : callback;
    if (typeof done === "function") queueMicrotask(() => void Reflect.apply(done as () => void, undefined, []));
    return true;
  };
  return { fd, isTTY: false, writable: true, write };
}

// ---- Time ------------------------------------------------------------------------------------

function hrtime(since?: unknown): [seconds: number, nanoseconds: number] {
  const now = BigInt(Math.round(ops.timeMonotonic() * 1e6));
  let passed = now;
  if (since !== undefined) {
    if (!Array.isArray(since)) throw invalidArgType("time", ["Array"], since);
    if (since.length !== 2) throw outOfRange("time", "2", since.length);
    passed -= BigInt(since[0] as number) * 1_000_000_000n + BigInt(since[1] as number);
  }
  const seconds = passed / 1_000_000_000n;
  return [Number(seconds), Number(passed - seconds * 1_000_000_000n)];
}
hrtime.bigint = (): bigint => BigInt(Math.round(ops.timeMonotonic() * 1e6));

// ---- The rest --------------------------------------------------------------------------------

function nextTick(work: unknown, ...args: unknown[]): void {
  const callback = requireFunction(work, "callback");
  queueMicrotask(() => void Reflect.apply(callback, undefined, args));
}

/** Ends this Worker's process: what is under way fails with these words, the next event starts it
 * afresh. (Workers cancel the one request and keep the process.) */
function end(words: string): never {
  failUnanswered(new Error(words));
  flushCalls();
  wire.abort(words);
}

function exit(code: unknown = 0): never {
  return end(`The Node.js process.exit(${String(code)}) API was called. Canceling the request.`);
}

interface WarningOptions {
  type?: string;
  code?: string;
  detail?: string;
}

function emitWarning(warning: unknown, options?: WarningOptions | string, code?: string): void {
  const given: WarningOptions = typeof options === "object" ? options : { type: options, code } as WarningOptions;
  const error = warning instanceof Error ? warning : new Error(requireString(warning, "warning"));
  if (!(warning instanceof Error)) error.name = given.type ?? "Warning";
  if (given.code !== undefined) Object.assign(error, { code: given.code });
  if (given.detail !== undefined) Object.assign(error, { detail: given.detail });
  nextTick(() => {
    console.warn(`${error.name}: ${error.message}`);
    process.emit("warning", error);
  });
}

/** Finds a built-in module for this Worker. */
let lookUp: (specifier: string) => Record<string, unknown> | undefined = () => undefined;

export function setBuiltinLookup(find: typeof lookUp): void {
  lookUp = find;
}

function getBuiltinModule(name: unknown): unknown {
  const id = requireString(name, "id");
  const found = lookUp(id.includes(":") ? id : `node:${id}`);
  return found !== undefined && "default" in found ? found["default"] : found;
}

function refuse(what: string): () => never {
  return () => {
    throw notSupported(`process.${what}()`);
  };
}

const members: Record<string, unknown> = {
  version: `v${NODE_VERSION}`,
  versions: { node: NODE_VERSION },
  release: { name: "node", lts: true },
  arch: "x64",
  platform: "linux",
  title: "mayfly",
  argv: ["mayfly"],
  argv0: "mayfly",
  execArgv: [],
  execPath: "",
  pid: 1,
  ppid: 0,
  exitCode: undefined,
  config: {},
  features: {},
  stdout: output(1, (line) => console.log(line)),
  stderr: output(2, (line) => console.error(line)),
  nextTick,
  emitWarning,
  exit,
  reallyExit: exit,
  abort: () => end("The Node.js process.abort() API was called."),
  hrtime,
  uptime: () => ops.timeMonotonic() / 1000,
  cwd: () => "/bundle",
  umask: () => 0o22,
  getBuiltinModule,
  chdir: refuse("chdir"),
  kill: refuse("kill"),
  dlopen: refuse("dlopen"),
  binding: refuse("binding"),
};

interface Process extends EventEmitter {
  readonly env: Record<string, string>;
}

function assemble(): Process {
  const made = Object.assign(new EventEmitter(), members) as unknown as Process;
  Object.defineProperty(made, Symbol.toStringTag, { value: "process", configurable: true });
  const keep = (value: unknown): unknown => {
    Object.defineProperty(made, "env", { value, writable: true, enumerable: true, configurable: true });
    return value;
  };
  Object.defineProperty(made, "env", {
    get: () => keep(new Proxy(variables(), KEEPS_TEXTS)),
    set: keep,
    enumerable: true,
    configurable: true,
  });
  return made;
}

export const process: Process = assemble();
warnings.emit = (warning) => emitWarning(warning);

let asModule: Record<string, unknown> | undefined;

/** Made when it is first asked for, because it has `env` among its exports. */
export function processModule(): Record<string, unknown> {
  return (asModule ??= { ...members, env: process.env, default: process });
}
