// node:module: `createRequire`, and which modules are built in.
//
// Absent, with an error where it is called: hooks, source maps, the compile cache's directory, and the
// insides of Node.js' own loader. The names are there because packages look for them.

import { requireFrom } from "../modules/commonjs.ts";
import { URL } from "../web/url.ts";
import { invalidArgValue, notImplemented } from "./errors.ts";

/** Modules that Node.js has without the prefix; the host has the same list (`builtins.rs`). */
export const builtinModules: readonly string[] = Object.freeze([
  "_http_agent", "_http_client", "_http_common", "_http_incoming", "_http_outgoing", "_http_server", "_stream_duplex",
  "_stream_passthrough", "_stream_readable", "_stream_transform", "_stream_wrap", "_stream_writable", "_tls_common", "_tls_wrap",
  "assert", "assert/strict", "async_hooks", "buffer", "child_process", "cluster", "console", "constants", "crypto", "dgram",
  "diagnostics_channel", "dns", "dns/promises", "domain", "events", "fs", "fs/promises", "http", "http2", "https", "inspector",
  "inspector/promises", "module", "net", "os", "path", "path/posix", "path/win32", "perf_hooks", "process", "punycode", "querystring",
  "readline", "readline/promises", "repl", "stream", "stream/consumers", "stream/promises", "stream/web", "string_decoder", "sys",
  "timers", "timers/promises", "tls", "trace_events", "tty", "url", "util", "util/types", "v8", "vm", "wasi", "worker_threads", "zlib",
]);

/** Those that exist with the prefix alone. */
const PREFIXED = new Set(["node:sea", "node:sqlite", "node:test", "node:test/reporters"]);

function isBuiltin(specifier: unknown): boolean {
  const name = String(specifier);
  if (PREFIXED.has(name)) return true;
  return builtinModules.includes(name.startsWith("node:") ? name.slice(5) : name);
}

function createRequire(path: unknown): unknown {
  const text = String(path);
  if (!text.startsWith("/") && !text.startsWith("file:")) {
    throw invalidArgValue("path", text, "The argument must be a file URL object, a file URL string, or an absolute path string.");
  }
  const url = new URL(text, "file://");
  if (url.search !== "" || url.hash !== "") throw new TypeError("The specifier must not have query string parameters or hash fragments.");
  // Where files of the bundle are, seen from `/bundle` or from the root.
  return requireFrom(decodeURIComponent(url.pathname).replace(/^\/(?:bundle\/)?/, ""));
}

function refuse(name: string): () => never {
  return () => {
    throw notImplemented(`module.${name}`);
  };
}

const table = (): object => Object.create(null) as object;

const REFUSED = [
  "_debug", "_findPath", "_initPaths", "_load", "_nodeModulePaths", "_preloadModules", "_resolveFilename", "_resolveLookupPaths",
  "findPackageJSON", "findSourceMap", "register", "registerHooks", "runMain", "setSourceMapsSupport", "stripTypeScriptTypes",
  "syncBuiltinESMExports", "wrap",
];

/** What is `require("module")` is also what older code calls `Module`. */
const Module = function Module(): never {
  throw notImplemented("module.Module");
};
Module.prototype.load = function (): void {};
Module.prototype.require = function (): void {};
Module.prototype._compile = function (): void {};

const members: Record<string, unknown> = {
  ...Object.fromEntries(REFUSED.map((name) => [name, refuse(name)])),
  Module,
  SourceMap: refuse("SourceMap"),
  _cache: table(),
  _extensions: { ".js": refuse("_extensions.js"), ".json": refuse("_extensions.json"), ".node": refuse("_extensions.node") },
  _pathCache: table(),
  builtinModules,
  constants: Object.freeze(Object.assign(table(), { compileCacheStatus: Object.freeze(Object.assign(table(), { FAILED: 0, ENABLED: 1, ALREADY_ENABLED: 2, DISABLED: 3 })) })),
  createRequire,
  enableCompileCache: (): void => {},
  flushCompileCache: (): void => {},
  getCompileCacheDir: (): undefined => undefined,
  getSourceMapsSupport: (): object => Object.freeze(Object.assign(table(), { enabled: false, nodeModules: false, generatedCode: false })),
  globalPaths: [],
  isBuiltin,
};

Object.defineProperty(Module.prototype, "isPreloading", { get: () => false });
Object.assign(Module, members);

export const moduleModule: Record<string, unknown> = { ...members, default: Module };
