// Modules that exist by name, as Workers have them: child_process, cluster, dgram, repl,
// sqlite, trace_events and wasi. What needs a process, a terminal, a datagram or a database throws;
// what can be read can be read. Packages import them and use them elsewhere.
//
// Invariant: what cannot be done says so; nothing pretends to have been done but where Workers do.

import { inspect, inspectCustom } from "../web/inspect.ts";
import { checkBoolean, checkCallable, checkInt32, checkObject, checkOneOf, checkText, failure, refusing, unimplemented } from "./checks.ts";
import { invalidArgType } from "./errors.ts";
import { EventEmitter } from "./events.ts";
import { builtinModules as allModules } from "./module.ts";
import { process } from "./process.ts";

type Members = Record<string, unknown>;

function moduleOf(members: Members): Members {
  return { ...members, default: members };
}

// ---- child_process ---------------------------------------------------------------------------

class ChildProcess extends EventEmitter {
  constructor() {
    super();
    throw unimplemented("child_process.ChildProcess");
  }
  kill(): boolean {
    return false;
  }
  send(): boolean {
    return false;
  }
  disconnect(): void {}
  ref(): void {}
  unref(): void {}
  [Symbol.dispose](): void {}
}

export const childProcessModule: Members = moduleOf({
  ChildProcess,
  _forkChild: refusing("child_process._forkChild"),
  exec(command: unknown, options?: unknown, callback?: unknown): never {
    checkText(command, "command");
    if (options !== undefined && options !== null && typeof options !== "function") checkObject(options, "options");
    if (callback !== undefined && callback !== null) checkCallable(callback, "callback");
    throw unimplemented("child_process.exec");
  },
  execFile: refusing("child_process.execFile"),
  execFileSync: refusing("child_process.execFileSync"),
  execSync: refusing("child_process.execSync"),
  fork(_path: unknown, args?: unknown, options?: unknown): never {
    if (args !== undefined && args !== null && !Array.isArray(args)) {
      if (typeof args !== "object") throw invalidArgType("args", ["Array"], args);
      options = args;
    }
    if (options !== undefined && options !== null) checkObject(options, "options");
    throw unimplemented("child_process.fork");
  },
  spawn: refusing("child_process.spawn"),
  spawnSync(command: unknown): never {
    checkText(command, "command");
    throw unimplemented("child_process.spawnSync");
  },
});

// ---- cluster ---------------------------------------------------------------------------------

class ClusterWorker extends EventEmitter {
  _connected = false;
  id = 0;

  get process(): unknown {
    return process;
  }
  get exitedAfterDisconnect(): boolean {
    return this._connected;
  }
  isConnected(): boolean {
    return this._connected;
  }
  isDead(): boolean {
    return true;
  }
  send(): boolean {
    return false;
  }
  kill(): void {
    this._connected = false;
  }
  destroy(): void {
    this._connected = false;
  }
  disconnect(): this {
    this._connected = false;
    return this;
  }
}

const SCHED_RR = 2;

const clusterMembers: Members = {
  SCHED_NONE: 1,
  SCHED_RR,
  Worker: ClusterWorker,
  disconnect: refusing("cluster.disconnect"),
  fork: refusing("cluster.fork"),
  isMaster: true,
  isPrimary: true,
  isWorker: false,
  schedulingPolicy: SCHED_RR,
  settings: {},
  setupMaster: refusing("cluster.setupMaster"),
  setupPrimary: refusing("cluster.setupPrimary"),
  workers: {},
};

class Cluster extends EventEmitter {}
Object.assign(Cluster.prototype, clusterMembers);

let clusterMade: Members | undefined;

/** The module is an emitter, made when it is first asked for. */
export function clusterModule(): Members {
  if (clusterMade !== undefined) return clusterMade;
  const cluster = Object.assign(new Cluster(), clusterMembers);
  return (clusterMade = { ...clusterMembers, Cluster, _events: [], _eventsCount: 0, _maxListeners: 0, default: cluster });
}

// ---- dgram -----------------------------------------------------------------------------------

const Socket = function (this: object, type: unknown, callback?: unknown): object {
  Reflect.apply(EventEmitter as never, this, []);
  checkObject(typeof type === "string" ? { type } : type, "type");
  if (callback !== undefined) checkCallable(callback, "callback");
  return this;
} as unknown as { new (type: unknown, callback?: unknown): object; prototype: Members };
Object.defineProperty(Socket, "name", { value: "Socket", configurable: true });
Object.setPrototypeOf(Socket.prototype, EventEmitter.prototype);
Object.setPrototypeOf(Socket, EventEmitter);

for (const name of [
  "connect", "disconnect", "sendto", "send", "setBroadcast", "setTTL", "setMulticastTTL", "setMulticastLoopback", "setMulticastInterface",
  "addMembership", "dropMembership", "addSourceSpecificMembership", "dropSourceSpecificMembership", "setRecvBufferSize", "setSendBufferSize",
]) {
  Socket.prototype[name] = (): void => undefined;
}
for (const name of ["bind", "close", "ref", "unref"]) {
  Socket.prototype[name] = function (this: object): object {
    return this;
  };
}
for (const name of ["getRecvBufferSize", "getSendBufferSize", "getSendQueueSize", "getSendQueueCount"]) Socket.prototype[name] = (): number => 0;
for (const name of ["address", "remoteAddress"]) Socket.prototype[name] = (): object => ({});
Object.defineProperty(Socket.prototype, Symbol.asyncDispose, { value: async (): Promise<void> => undefined, writable: true, configurable: true });

export const dgramModule: Members = moduleOf({ Socket, createSocket: (type: unknown, callback?: unknown) => new Socket(type, callback) });

// ---- repl ------------------------------------------------------------------------------------

class Recoverable extends SyntaxError {
  readonly err: unknown;

  constructor(error: unknown) {
    super();
    this.err = error;
  }
}

class REPLServer extends EventEmitter {
  constructor() {
    super();
    throw unimplemented("REPLServer");
  }
  setupHistory(): never {
    throw unimplemented("setupHistory");
  }
  defineCommand(): never {
    throw unimplemented("defineCommand");
  }
  displayPrompt(): never {
    throw unimplemented("displayPrompt");
  }
  clearBufferedCommand(): never {
    throw unimplemented("clearBufferedCommand");
  }
}

const writer = Object.assign(refusing("writer"), {
  options: {
    showHidden: false, depth: 2, colors: true, customInspect: true, showProxy: true, maxArrayLength: 100, maxStringLength: 10_000,
    breakLength: 80, compact: 3, sorted: false, getters: false, numericSeparator: false,
  },
});

/** `names`: the built-in modules there are. */
export function replModule(): Members {
  const builtinModules = allModules.filter((name) => !name.startsWith("_"));
  return moduleOf({
    REPLServer,
    REPL_MODE_SLOPPY: Symbol("repl-sloppy"),
    REPL_MODE_STRICT: Symbol("repl-strict"),
    Recoverable,
    _builtinLibs: builtinModules,
    builtinModules,
    start: refusing("start"),
    writer,
  });
}

// ---- sqlite ----------------------------------------------------------------------------------

class DatabaseSync {
  constructor() {
    throw unimplemented("DatabaseSync");
  }
}

class StatementSync {
  constructor() {
    throw unimplemented("StatementSync");
  }
}

const ACTIONS =
  "CREATE_INDEX CREATE_TABLE CREATE_TEMP_INDEX CREATE_TEMP_TABLE CREATE_TEMP_TRIGGER CREATE_TEMP_VIEW CREATE_TRIGGER CREATE_VIEW " +
  "DELETE DROP_INDEX DROP_TABLE DROP_TEMP_INDEX DROP_TEMP_TABLE DROP_TEMP_TRIGGER DROP_TEMP_VIEW DROP_TRIGGER DROP_VIEW INSERT " +
  "PRAGMA READ SELECT TRANSACTION UPDATE ATTACH DETACH ALTER_TABLE REINDEX ANALYZE CREATE_VTABLE DROP_VTABLE FUNCTION SAVEPOINT";

const sqliteConstants: Record<string, number> = {
  SQLITE_CHANGESET_OMIT: 0,
  SQLITE_CHANGESET_REPLACE: 1,
  SQLITE_CHANGESET_ABORT: 2,
  SQLITE_CHANGESET_DATA: 1,
  SQLITE_CHANGESET_NOTFOUND: 2,
  SQLITE_CHANGESET_CONFLICT: 3,
  SQLITE_CHANGESET_CONSTRAINT: 4,
  SQLITE_CHANGESET_FOREIGN_KEY: 5,
  SQLITE_OK: 0,
  SQLITE_DENY: 1,
  SQLITE_IGNORE: 2,
  ...Object.fromEntries(ACTIONS.split(" ").map((name, at) => [`SQLITE_${name}`, at + 1])),
  SQLITE_COPY: 0,
  SQLITE_RECURSIVE: 33,
};

export const sqliteModule: Members = moduleOf({
  DatabaseSync,
  StatementSync,
  backup: refusing("backup"),
  constants: sqliteConstants,
});

// ---- trace_events ----------------------------------------------------------------------------

class Tracing {
  readonly #categories: readonly string[];
  #enabled = false;

  constructor(categories: readonly string[]) {
    this.#categories = categories;
  }
  enable(): void {
    this.#enabled = true;
  }
  disable(): void {
    this.#enabled = false;
  }
  get enabled(): boolean {
    return this.#enabled;
  }
  get categories(): string {
    return this.#categories.join(",");
  }
  [inspectCustom](depth?: number): unknown {
    if (typeof depth === "number" && depth < 0) return this;
    return `Tracing ${inspect({ enabled: this.enabled, categories: this.categories })}`;
  }
}

export const traceEventsModule: Members = moduleOf({
  createTracing(options: unknown): Tracing {
    const { categories } = checkObject(options, "options");
    if (!Array.isArray(categories)) throw invalidArgType("options.categories", ["Array"], categories);
    categories.forEach((category, at) => checkText(category, `options.categories[${at}]`));
    if (categories.length === 0) throw failure(TypeError, "ERR_TRACE_EVENTS_CATEGORY_REQUIRED", "At least one category is required");
    return new Tracing(categories as string[]);
  },
  getEnabledCategories: () => undefined,
});

// ---- wasi ------------------------------------------------------------------------------------

class WASI {
  constructor(given: unknown = { version: "unstable" }) {
    const { version, args, env, preopens, stdin = 0, stdout = 1, stderr = 2, returnOnExit } = checkObject(given, "options");
    checkOneOf(version as string, "options.version", ["unstable", "preview1"]);
    if (args !== undefined && !Array.isArray(args)) throw invalidArgType("options.args", ["Array"], args);
    if (env !== undefined) checkObject(env, "options.env");
    if (preopens !== undefined) checkObject(preopens, "options.preopens");
    checkInt32(stdin, "options.stdin", 0);
    checkInt32(stdout, "options.stdout", 0);
    checkInt32(stderr, "options.stderr", 0);
    if (returnOnExit !== undefined) checkBoolean(returnOnExit, "options.returnOnExit");
    throw unimplemented("WASI");
  }
  finalizeBindings(): never {
    throw unimplemented("WASI.finalizeBindings");
  }
  start(): never {
    throw unimplemented("WASI.start");
  }
  initialize(): never {
    throw unimplemented("WASI.initialize");
  }
  getImportObject(): object {
    return {};
  }
}

export const wasiModule: Members = moduleOf({ WASI });
