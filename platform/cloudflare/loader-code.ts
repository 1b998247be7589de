// `WorkerCode`: what each field may hold, and the error when it holds something else.
//
// A wrong field is a TypeError that names the field, what was given and what is allowed. Whether a
// date or a flag exists is the host's to say, which has the table; it fails the load.
//
// Bytes are copied out when the code is checked, so that a buffer changed or detached later
// changes nothing.
//
// Invariant: what `shipCode` gives to the wire is within the bounds of code and `env`.

import { ops } from "../ops.ts";
import type { CapId, Limits, ModuleKind, WorkerCode } from "../ops.ts";
import type { Cap } from "./caps.ts";
import { addBudget, dataCloneError, describe } from "./errors.ts";
import { NOT_TRANSFERABLE, serviceOf } from "./fetcher.ts";
import { wasmBytes } from "./loader-wasm.ts";
import { NO_PROPS, packEnv } from "./payloads.ts";
import { ship } from "./rpc/message.ts";
import type { Packed } from "./rpc/message.ts";

/** Bytes of all modules of a Worker together. In step with `wire/src/bounds.rs`. */
export const CODE_BYTES_MAX = 64 * 1024 * 1024;

export const NO_LIMITS: Limits = { cpuMs: undefined, subRequests: undefined };

type Module = [name: string, kind: ModuleKind, content: string | Uint8Array];

/** Checked code whose `env` is still to be shipped. */
export interface CheckedCode {
  code: Omit<WorkerCode, "env">;
  env: Packed | undefined;
}

/** What a loader's callback gave, ready for the wire. */
export function codeOf(value: unknown): WorkerCode {
  return shipCode(checkCode(value));
}

export function shipCode({ code, env }: CheckedCode): WorkerCode {
  return { ...code, env: env === undefined ? NO_PROPS : ship(env) };
}

export function checkCode(value: unknown): CheckedCode {
  if (typeof value !== "object" || value === null) {
    throw new TypeError(`WorkerCode must be an object, not ${describe(value)}.`);
  }
  const given = value as Record<keyof WorkerCode | "globalOutbound", unknown>;
  const mainModule = string(given.mainModule, "mainModule", "the name of a module in `modules`");
  const modules = checkModules(given.modules, mainModule);
  const allowExperimental = boolean(given.allowExperimental, "allowExperimental");
  const streamingTails = services(given.streamingTails, "streamingTails");
  if (streamingTails.length > 0 && !allowExperimental) {
    throw new Error(
      "Streaming tail workers are experimental. You must pass the option 'allowExperimental: true' to the worker " +
        "loader to use them",
    );
  }
  return {
    code: {
      compatibilityDate: string(given.compatibilityDate, "compatibilityDate", 'a date like "2026-01-31"'),
      compatibilityFlags: strings(given.compatibilityFlags, "compatibilityFlags"),
      allowExperimental,
      mainModule,
      modules,
      outbound: checkOutbound(given.globalOutbound),
      tails: services(given.tails, "tails"),
      streamingTails,
      jitless: boolean(given.jitless, "jitless"),
      limits: given.limits === undefined ? NO_LIMITS : checkLimits(given.limits, "WorkerCode.limits"),
    },
    env: packEnv(given.env),
  };
}

// ---- plain fields

function wrong(field: string, allowed: string, given: unknown): TypeError {
  return new TypeError(`WorkerCode.${field} must be ${allowed}, not ${describe(given)}.`);
}

function string(value: unknown, field: string, allowed: string): string {
  if (typeof value !== "string" || value === "") throw wrong(field, allowed, value);
  return value;
}

function boolean(value: unknown, field: string): boolean {
  if (value !== undefined && typeof value !== "boolean") throw wrong(field, "a boolean or undefined", value);
  return value === true;
}

function strings(value: unknown, field: string): string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw wrong(field, "an array of strings or undefined", value);
  return value.map((item: unknown, index) => {
    if (typeof item !== "string") throw wrong(`${field}[${index}]`, "a string", item);
    return item;
  });
}

export function checkLimits(value: unknown, field: string): Limits {
  if (typeof value !== "object" || value === null) {
    throw new TypeError(`${field} must be an object like { cpuMs, subRequests }, not ${describe(value)}.`);
  }
  const { cpuMs, subRequests } = value as Record<keyof Limits, unknown>;
  return { cpuMs: whole(cpuMs, `${field}.cpuMs`), subRequests: whole(subRequests, `${field}.subRequests`) };
}

function whole(value: unknown, field: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
    throw new TypeError(`${field} must be a whole number from 0 to 4294967295 or undefined, not ${describe(value)}.`);
  }
  return value;
}

// ---- services

function checkOutbound(value: unknown): WorkerCode["outbound"] {
  if (value === undefined) return ["inherit"];
  if (value === null) return ["blocked"];
  const cap = serviceCap(value);
  if (cap === undefined) throw wrong("globalOutbound", "a service stub, null or undefined", value);
  return ["service", cap.id];
}

function services(value: unknown, field: string): CapId[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw wrong(field, "an array of service stubs or undefined", value);
  return value.map((item: unknown, index) => {
    const cap = serviceCap(item);
    if (cap === undefined) throw wrong(`${field}[${index}]`, "a service stub", item);
    return cap.id;
  });
}

function serviceCap(value: unknown): Cap | undefined {
  const cap = serviceOf(value)?.cap();
  if (cap?.kind === "dynamicService") throw dataCloneError(NOT_TRANSFERABLE);
  return cap;
}

// ---- modules

const PYTHON = "Python Workers are not supported";
const KINDS = ["js", "cjs", "text", "data", "json", "py", "wasm"] as const;

function checkModules(value: unknown, mainModule: string): Module[] {
  if (typeof value !== "object" || value === null) {
    throw wrong("modules", "an object from module names to contents", value);
  }
  const names = Object.keys(value);
  if (names.length === 0) throw new TypeError("Dynamic Worker code must contain at least one module.");
  const isPython = mainModule.endsWith(".py");
  const modules = names.map((name) => moduleOf(name, (value as Record<string, unknown>)[name], isPython));
  checkSize(modules);
  if (!Object.hasOwn(value, mainModule)) {
    throw new TypeError(
      `WorkerCode.mainModule is "${mainModule}", which is not in WorkerCode.modules (${listed(names)}).`,
    );
  }
  return modules;
}

function listed(names: string[]): string {
  const shown = names.slice(0, 10).map((name) => `"${name}"`).join(", ");
  return names.length > 10 ? `${shown} and ${names.length - 10} more` : shown;
}

function moduleOf(name: string, content: unknown, isPython: boolean): Module {
  if (typeof content === "string") return [name, kindByExtension(name, isPython), content];
  if (content instanceof WebAssembly.Module) return [name, "wasm", compiledBytes(name, content)];
  if (typeof content !== "object" || content === null) {
    throw wrong(`modules["${name}"]`, `a string, a WebAssembly.Module or an object with one of ${KINDS.join(", ")}`, content);
  }
  const given = KINDS.filter((kind) => (content as Record<string, unknown>)[kind] !== undefined);
  const [kind] = given;
  if (given.length !== 1 || kind === undefined) {
    throw new TypeError(
      "Each module must contain exactly one of 'js', 'cjs', 'text', 'data', 'json', 'py', or 'wasm'. " +
        `Module '${name}' contained ${given.length} properties.`,
    );
  }
  if (kind === "py") throw python(name, isPython);
  return [name, kind, contentOf(name, kind, (content as Record<string, unknown>)[kind])];
}

function python(name: string, isPython: boolean): TypeError {
  if (isPython) return new TypeError(`Module "${name}" is a Python module: ${PYTHON}.`);
  return new TypeError(`Module "${name}" is a Python module, but the main module isn't a Python module.`);
}

function kindByExtension(name: string, isPython: boolean): ModuleKind {
  if (name.endsWith(".js")) return "js";
  if (name.endsWith(".py")) throw python(name, isPython);
  const hint = /\.(tsx?|jsx)$/.test(name)
    ? ". If you're trying to load TypeScript, bundle it first with '@cloudflare/worker-bundler' and pass the generated JavaScript modules."
    : "";
  throw new TypeError(
    "Module name must end with '.js' or '.py' (or the content must be an object indicating the type explicitly). " +
      `Got: ${name}${hint}`,
  );
}

function contentOf(name: string, kind: Exclude<ModuleKind, never>, value: unknown): string | Uint8Array {
  const field = `modules["${name}"].${kind}`;
  switch (kind) {
    case "js":
    case "cjs":
    case "text":
      if (typeof value !== "string") throw wrong(field, "a string", value);
      return value;
    case "json":
      return jsonOf(field, value);
    case "data":
      return bytesOf(value) ?? fail(wrong(field, "an ArrayBuffer or a view of one", value));
    case "wasm":
      if (value instanceof WebAssembly.Module) return compiledBytes(name, value);
      return bytesOf(value) ?? fail(wrong(field, "an ArrayBuffer, a view of one or a WebAssembly.Module", value));
  }
}

function fail(error: Error): never {
  throw error;
}

function jsonOf(field: string, value: unknown): string {
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw wrong(field, "a value that JSON can express", value);
  return text;
}

function bytesOf(value: unknown): Uint8Array | undefined {
  // A copy: the wire reads it in this turn, but a loader's callback may go on first.
  if (value instanceof ArrayBuffer) return new Uint8Array(value).slice();
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice();
  return undefined;
}

function compiledBytes(name: string, module: WebAssembly.Module): Uint8Array {
  const bytes = wasmBytes(module);
  if (bytes !== undefined) return bytes;
  throw new TypeError(
    `WorkerCode.modules["${name}"] is a WebAssembly.Module whose bytes are not known here: it was not compiled in ` +
      "this Worker. Pass the bytes instead.",
  );
}

function checkSize(modules: readonly Module[]): void {
  let chars = 0;
  for (const [, , content] of modules) chars += content.length;
  // No char takes more than three bytes, so only code of an unusual size is measured.
  if (chars * 3 <= CODE_BYTES_MAX) return;
  let bytes = 0;
  for (const [, , content] of modules) {
    bytes += typeof content === "string" ? ops.textEncode(content).length : content.length;
  }
  if (bytes <= CODE_BYTES_MAX) return;
  const message = `Dynamic Worker code size (${bytes} bytes) exceeds the maximum allowed size of ${CODE_BYTES_MAX} bytes.`;
  throw addBudget(new Error(message), "code-size", bytes, CODE_BYTES_MAX);
}
