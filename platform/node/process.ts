// node:process, as much of it as means something without a process of one's own.
//
// `env` has the Worker's variables, as text; `nextTick` is a microtask; `stdout` and `stderr` write
// whole lines to the log, `stdin` is at its end. What would change the machine throws; what would
// measure it is zero, as in Workers. Of the events there are "warning" and those of rejections, which
// are the global object's under Node.js's names.
//
// Invariant: `env` and the streams are made when they are first asked for: most Workers never do.

import { currentInvocation } from "../cloudflare/async-context.ts";
import { failUnanswered } from "../cloudflare/context.ts";
import { ownEnv } from "../cloudflare/env.ts";
import { has } from "../cloudflare/compat.ts";
import { builtin } from "../modules/builtins.ts";
import { ops, wire } from "../ops.ts";
import { console } from "../web/console.ts";
import { EventTarget, type PromiseRejectionEvent } from "../web/events.ts";
import { queueMicrotask } from "../web/microtask.ts";
import { encodings } from "./buffer-text.ts";
import { bytesOf, concat } from "./crypto/bytes.ts";
import { checkText, failure, invalidValue, refusing } from "./checks.ts";
import { invalidArgType, outOfRange, requireFunction, requireString } from "./errors.ts";
import { EventEmitter } from "./events.ts";
import { fsError } from "./fs/errors.ts";
import { namesOf, resolve } from "./fs/vfs.ts";
import { Readable } from "./stream/readable.ts";
import { Writable } from "./stream/writable.ts";
import { warnings } from "./ticks.ts";
import { parseEnv } from "./util/parse-env.ts";
import { setWorkingDirectory, workingDirectory } from "./working-directory.ts";

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

/** Gives lines to the log, as text; a line that has not ended leaves at the end of the turn. */
class Lines {
  readonly #log: (line: string) => void;
  #partial: Uint8Array[] = [];
  #isFlushQueued = false;

  constructor(log: (line: string) => void) {
    this.#log = log;
  }

  write(bytes: Uint8Array): void {
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      this.#partial.push(bytes.subarray(start, end));
      this.flush(true);
      start = end + 1;
    }
    if (start === bytes.length) return;
    this.#partial.push(bytes.slice(start));
    if (this.#isFlushQueued) return;
    this.#isFlushQueued = true;
    queueMicrotask(() => this.flush(false));
  }

  /** An empty line is one only if its end was written. */
  flush(isEnded: boolean): void {
    if (!isEnded) this.#isFlushQueued = false;
    const parts = this.#partial;
    this.#partial = [];
    if (parts.length === 0 && !isEnded) return;
    this.#log(encodings.utf8.decode(concat(parts)));
  }
}

const NEWLINE = 0x0a;

/** What packages read of a stream that is a terminal's or a socket's. */
const SOCKET_PROPERTIES = { allowHalfOpen: false, bufferSize: 0, connecting: false, readyState: "open" };

function output(fd: 1 | 2, log: (line: string) => void): unknown {
  const lines = new Lines(log);
  const stream = new Writable({
    autoDestroy: true,
    write(chunk: unknown, encoding: unknown, done: () => void): void {
      lines.write(bytesOf(chunk, "chunk", encoding));
      done();
    },
  } as never);
  // A Writable has a getter here, which says what packages want to hear of a Duplex.
  Object.defineProperty(stream, "readable", { value: false, writable: true, configurable: true });
  return Object.assign(stream, { fd, _type: "fs", _isStdio: true, ...SOCKET_PROPERTIES, isTTY: false, bytesWritten: 0, pending: false });
}

/** A stream that is at its end: nobody writes into a Worker. */
function input(): unknown {
  const stream = new Readable({ read(this: { push(chunk: null): void }): void { this.push(null); } } as never);
  return Object.assign(stream, { fd: 0, ...SOCKET_PROPERTIES, isTTY: false });
}

// ---- Time ------------------------------------------------------------------------------------

function hrtime(since?: unknown): [seconds: number, nanoseconds: number] {
  const now = BigInt(Math.round(ops.timeMonotonic() * 1e6));
  let passed = now;
  if (since !== undefined) {
    if (!Array.isArray(since)) throw invalidArgType("time", ["tuple of integers"], since);
    if (since.length !== 2) throw outOfRange("time", "2", since);
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
  wire.abort(words);
}

/** While the Worker starts there is no request to be cancelled, and nothing to be ended. */
function exit(code: unknown = 0): void {
  if (currentInvocation() === undefined) return;
  end(`The Node.js process.exit(${String(code)}) API was called. Canceling the request.`);
}

type ErrorClass = new (message: string) => Error;

interface WarningOptions {
  type?: string | undefined;
  code?: string | undefined;
  detail?: string | undefined;
  ctor?: unknown;
}

/** Either an object, or a type, a code and a class one after the other, each of them optional. */
function warningOptions(options: unknown, ...rest: unknown[]): WarningOptions {
  if (typeof options === "object" && options !== null && !Array.isArray(options)) return options as WarningOptions;
  if (typeof options === "function") return { ctor: options };
  if (options === undefined || options === null) return {};
  if (typeof options !== "string") throw invalidArgType("type", ["string"], options);
  const [codeOrClass, last] = rest;
  if (typeof codeOrClass === "function" || codeOrClass === undefined) return { type: options, ctor: codeOrClass };
  if (typeof codeOrClass !== "string") throw invalidArgType("code", ["string"], codeOrClass);
  if (last !== undefined && typeof last !== "function") throw invalidArgType("ctor", ["function"], last);
  return { type: options, code: codeOrClass, ctor: last };
}

function emitWarning(warning: unknown, options?: unknown, ...rest: unknown[]): void {
  const { type, code, detail, ctor } = warningOptions(options, ...rest);
  if (typeof warning !== "string" && !(warning instanceof Error)) throw invalidArgType("warning", ["string", "Error"], warning);
  const error = typeof warning === "string" ? new ((ctor as ErrorClass | undefined) ?? Error)(warning) : warning;
  if (typeof warning === "string") error.name = type || "Warning";
  else if (type) error.name = type;
  if (code) Object.assign(error, { code });
  if (typeof detail === "string" && detail !== "") Object.assign(error, { detail });
  nextTick(() => {
    console.warn(`${error.name}: ${error.message}`);
    process.emit("warning", error);
  });
}

warnings.emit = (warning) => emitWarning(warning);

function getBuiltinModule(name: unknown): unknown {
  const id = requireString(name, "id");
  const found = builtin(id.includes(":") ? id : `node:${id}`);
  return found !== undefined && "default" in found ? found["default"] : found;
}

const MASK = 0o22;

function umask(mask?: unknown): number {
  if (mask === undefined) return MASK;
  const why = "must be a 32-bit unsigned integer or an octal string";
  if (typeof mask !== "string" && typeof mask !== "number") throw invalidArgType("mask", ["number"], mask);
  if (typeof mask === "string" && !/^[0-7]+$/.test(mask)) throw invalidValue("mask", mask, why);
  const number = typeof mask === "string" ? parseInt(mask, 8) : mask;
  if (!Number.isInteger(number) || number < 0 || number > 0xffff_ffff) throw invalidValue("mask", mask, why);
  return MASK;
}

/** The one user there is may become itself, and nobody else. */
function only(zero: "setegid" | "setgid" | "seteuid" | "setuid"): (id: unknown) => void {
  return (id) => {
    if (id !== 0) throw notPermitted(zero);
  };
}

function notPermitted(syscall: string): Error {
  return Object.assign(failure(Error, "EPERM", `EPERM: operation not permitted, ${syscall}`), { errno: -1, syscall });
}

const zeros = (names: string): Record<string, number> => Object.fromEntries(names.split(" ").map((name) => [name, 0]));

const USAGE =
  "userCPUTime systemCPUTime maxRSS sharedMemorySize unsharedDataSize unsharedStackSize minorPageFault majorPageFault swappedOut " +
  "fsRead fsWrite ipcSent ipcReceived signalsCount voluntaryContextSwitches involuntaryContextSwitches";

const nothing = (): void => undefined;

const PATH_LENGTH_MAX = 4096;

function chdir(path: unknown): void {
  const text = checkText(path, "directory");
  if (text.length > PATH_LENGTH_MAX) throw fsError("ENAMETOOLONG", "chdir", text);
  const absolute = `/${namesOf(text.startsWith("/") ? text : `${workingDirectory()}/${text}`).join("/")}`;
  const found = text === "" ? undefined : resolve(absolute, "follow", "chdir");
  if (found === undefined) throw fsError("ENOENT", "chdir", text);
  if (found.kind !== "directory") throw fsError("ENOTDIR", "chdir", text);
  setWorkingDirectory(absolute);
}

const members: Record<string, unknown> = {
  version: `v${NODE_VERSION}`,
  versions: Object.freeze({ node: NODE_VERSION }),
  release: { name: "node", lts: true, sourceUrl: "", headersUrl: "" },
  arch: "x64",
  platform: "linux",
  title: "workerd",
  argv: ["workerd"],
  argv0: "workerd",
  execArgv: [],
  execPath: "",
  pid: 1,
  ppid: 0,
  exitCode: undefined,
  config: Object.freeze({ target_defaults: Object.freeze({ default_configuration: "Release" }), variables: Object.freeze({}) }),
  features: Object.freeze({
    cached_builtins: true, debug: false, inspector: false, ipv6: true, openssl_is_boringssl: true, require_module: false, tls: true,
    tls_alpn: true, tls_ocsp: true, tls_sni: true, typescript: false, uv: true,
  }),
  allowedNodeEnvironmentFlags: new Set<string>(),
  channel: null,
  connected: false,
  debugPort: 0,
  noDeprecation: false,
  traceDeprecation: false,
  throwDeprecation: false,
  sourceMapsEnabled: false,
  moduleLoadList: [],
  _preload_modules: [],
  domain: null,
  _exiting: false,
  permission: { has: refusing("process.permission.has") },
  report: {
    compact: false, directory: "", filename: "", getReport: () => ({}), reportOnFatalError: false, reportOnSignal: false,
    reportOnUncaughtException: false, excludeNetwork: false, excludeEnv: false, signal: "SIGUSR2",
    writeReport: refusing("process.report.writeReport"),
  },
  finalization: {
    register: refusing("process.finalization.register"),
    registerBeforeExit: refusing("process.finalization.registerBeforeExit"),
    unregister: refusing("process.finalization.unregister"),
  },
  nextTick,
  emitWarning,
  exit,
  reallyExit: exit,
  abort: () => end("The Node.js process.abort() API was called."),
  hrtime,
  uptime: () => ops.timeMonotonic() / 1000,
  chdir,
  cwd: () => workingDirectory(),
  umask,
  getBuiltinModule,
  memoryUsage: Object.assign(() => zeros("rss heapTotal heapUsed external arrayBuffers"), { rss: () => 0 }),
  resourceUsage: () => zeros(USAGE),
  constrainedMemory: () => 0,
  availableMemory: () => 0,
  getegid: () => 0,
  geteuid: () => 0,
  getgid: () => 0,
  getgroups: () => [0],
  getuid: () => 0,
  setegid: only("setegid"),
  seteuid: only("seteuid"),
  setgid: only("setgid"),
  setuid: only("setuid"),
  setgroups: () => { throw notPermitted("setgroups"); },
  initgroups: () => { throw notPermitted("initgroups"); },
  getSourceMapsSupport: () => ({ enabled: false, nodeModules: false, generatedCode: false }),
  setSourceMapsEnabled: nothing,
  ref: nothing,
  unref: nothing,
  send: () => false,
  loadEnvFile,
  openStdin: () => (process as unknown as { stdin: unknown }).stdin,
  _rawDebug: (...args: unknown[]) => console.log(...args),
  _getActiveHandles: () => [],
  _getActiveRequests: () => [],
  _fatalException: () => false,
  _tickCallback: nothing,
  _debugProcess: nothing,
  _debugEnd: nothing,
  _startProfilerIdleNotifier: nothing,
  _stopProfilerIdleNotifier: nothing,
};
for (const name of [
  "_kill", "_linkedBinding", "binding", "cpuUsage", "dlopen", "execve", "getActiveResourcesInfo", "hasUncaughtExceptionCaptureCallback",
  "kill", "setUncaughtExceptionCaptureCallback", "threadCpuUsage",
]) {
  members[name] = refusing(`process.${name}`);
}

/** Variables from a file of the Worker's. */
function loadEnvFile(path: unknown = ".env"): void {
  const fs = getBuiltinModule("fs") as { readFileSync?: (path: unknown, encoding: string) => string } | undefined;
  if (fs?.readFileSync === undefined) throw failure(Error, "ENOENT", `ENOENT: no such file or directory, open '${String(path)}'`);
  Object.assign(process.env, parseEnv(fs.readFileSync(path, "utf8")));
}

/** Made once, when first asked for. */
const STREAMS: Readonly<Record<string, () => unknown>> = {
  stdin: input,
  stdout: () => output(1, (line) => console.log(line)),
  stderr: () => output(2, (line) => console.error(line)),
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
  for (const [name, make] of Object.entries(STREAMS)) {
    const put = (value: unknown): unknown => {
      Object.defineProperty(made, name, { value, writable: true, enumerable: true, configurable: true });
      return value;
    };
    Object.defineProperty(made, name, { get: () => put(make()), set: put, enumerable: true, configurable: true });
  }
  hearRejections(made);
  return made;
}

/** Passes rejections on once somebody listens; who listens has dealt with them. */
function hearRejections(made: Process): void {
  const hear = (name: string, type: string, pass: (event: PromiseRejectionEvent) => unknown): void => {
    let isHeard = false;
    made.on("newListener", (added: unknown) => {
      if (added !== name || isHeard) return;
      isHeard = true;
      Reflect.apply(EventTarget.prototype.addEventListener, globalThis, [type, (event: PromiseRejectionEvent) => {
        if (made.listenerCount(name) === 0) return;
        event.preventDefault();
        pass(event);
      }]);
    });
  };
  hear("unhandledRejection", "unhandledrejection", ({ reason, promise }) => made.emit("unhandledRejection", reason, promise));
  hear("rejectionHandled", "rejectionhandled", ({ promise }) => made.emit("rejectionHandled", promise));
}

export const process: Process = assemble();
warnings.emit = (warning) => emitWarning(warning);

/** `import { on } from "node:process"`. */
const EMITTER = [
  "addListener", "emit", "eventNames", "getMaxListeners", "listenerCount", "listeners", "off", "on", "once", "prependListener",
  "prependOnceListener", "rawListeners", "removeAllListeners", "removeListener", "setMaxListeners",
];

function bound(name: string): unknown {
  const method = (process as unknown as Record<string, (...args: unknown[]) => unknown>)[name] as (...args: unknown[]) => unknown;
  return (...args: unknown[]): unknown => Reflect.apply(method, process, args);
}

let asModule: Record<string, unknown> | undefined;

/** Made when it is first asked for, because it has `env` among its exports. */
export function processModule(): Record<string, unknown> {
  if (asModule !== undefined) return asModule;
  const { env, stdin, stdout, stderr } = process as Process & Record<"stdin" | "stdout" | "stderr", unknown>;
  const emitter = Object.fromEntries(EMITTER.map((name) => [name, bound(name)]));
  return (asModule = { ...emitter, ...members, env, stdin, stdout, stderr, default: process });
}
