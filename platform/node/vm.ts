// node:vm, as Workers have it: scripts and contexts can be made, and running one throws. Code from
// strings is no way into a Worker; a dynamic Worker is.
//
// Invariant: arguments are checked as Node.js does before anything is refused.

import { Buffer } from "./buffer.ts";
import { checkBoolean, checkInt32, checkObject, checkOneOf, checkText, checkUint32, unimplemented } from "./checks.ts";
import { invalidArgType } from "./errors.ts";

const kContext: unique symbol = Symbol("vm_context_symbol");

const constants = Object.freeze(Object.assign(Object.create(null) as Record<string, symbol>, {
  USE_MAIN_CONTEXT_DEFAULT_LOADER: Symbol("vm_dynamic_import_main_context_default"),
  DONT_CONTEXTIFY: Symbol("vm_context_no_contextify"),
}));

function isContext(object: unknown): boolean {
  if (typeof object !== "object" || object === null) throw invalidArgType("object", ["Object"], object);
  return kContext in object;
}

function checkBytes(value: unknown, name: string): void {
  if (!ArrayBuffer.isView(value)) throw invalidArgType(name, ["Buffer", "TypedArray", "DataView"], value);
}

function optionsOf(given: unknown, name = "options"): Record<string, unknown> {
  return typeof given === "string" ? { filename: given } : checkObject(given, name);
}

function checkRun(given: unknown): void {
  const { breakOnSigint = false, displayErrors = true, timeout } = checkObject(given, "options");
  checkBoolean(breakOnSigint, "options.breakOnSigint");
  checkBoolean(displayErrors, "options.displayErrors");
  if (timeout !== undefined) checkUint32(timeout, "options.timeout", true);
}

function requireContext(object: unknown): void {
  if (!isContext(object)) throw invalidArgType("contextifiedObject", ["vm.Context"], object);
}

class Script {
  cachedDataRejected: boolean | undefined = undefined;
  cachedDataProduced: boolean | undefined = undefined;
  cachedData: unknown = undefined;
  sourceMapURL: string | undefined = undefined;

  constructor(code: unknown, options: unknown = {}) {
    String(code);
    const { filename = "evalmachine.<anonymous>", lineOffset = 0, columnOffset = 0, cachedData, produceCachedData = false, importModuleDynamically = false } = optionsOf(options);
    checkBoolean(importModuleDynamically, "options.importModuleDynamically");
    checkText(filename, "options.filename");
    checkInt32(lineOffset, "options.lineOffset");
    checkInt32(columnOffset, "options.columnOffset");
    if (cachedData !== undefined) checkBytes(cachedData, "options.cachedData");
    checkBoolean(produceCachedData, "options.produceCachedData");
  }

  createCachedData(): unknown {
    return Buffer.alloc(0);
  }

  runInThisContext(options: unknown = {}): never {
    checkRun(options);
    throw unimplemented("runInThisContext");
  }

  runInContext(object: unknown, options: unknown = {}): never {
    requireContext(object);
    checkRun(options);
    throw unimplemented("runInThisContext");
  }

  runInNewContext(object: unknown, options: unknown = {}): never {
    return this.runInContext(createContext(object, contextOptions(options as Record<string, unknown>)), options);
  }
}

function contextOptions(options: Record<string, unknown> | undefined): Record<string, unknown> {
  if (!options) return {};
  const { contextName, contextOrigin, contextCodeGeneration, microtaskMode } = options;
  if (contextName !== undefined) checkText(contextName, "options.contextName");
  if (contextOrigin !== undefined) checkText(contextOrigin, "options.contextOrigin");
  if (contextCodeGeneration !== undefined) {
    const { strings, wasm } = checkObject(contextCodeGeneration, "options.contextCodeGeneration");
    if (strings !== undefined) checkBoolean(strings, "options.contextCodeGeneration.strings");
    if (wasm !== undefined) checkBoolean(wasm, "options.contextCodeGeneration.wasm");
  }
  if (microtaskMode !== undefined) checkText(microtaskMode, "options.microtaskMode");
  return { name: contextName, origin: contextOrigin, codeGeneration: contextCodeGeneration, microtaskMode };
}

function createContext(object: unknown = {}, options: unknown = {}): object {
  if (object !== constants["DONT_CONTEXTIFY"] && isContext(object)) return object as object;
  const { name = "VM Context", origin, codeGeneration, microtaskMode, importModuleDynamically = false } = checkObject(options, "options");
  checkText(name, "options.name");
  if (origin !== undefined) checkText(origin, "options.origin");
  checkBoolean(importModuleDynamically, "options.importModuleDynamically");
  if (codeGeneration !== undefined) {
    const { strings = true, wasm = true } = checkObject(codeGeneration, "options.codeGeneration");
    checkBoolean(strings, "options.codeGeneration.strings");
    checkBoolean(wasm, "options.codeGeneration.wasm");
  }
  checkOneOf(microtaskMode as string | undefined, "options.microtaskMode", ["afterEvaluate", undefined]);
  return Object.create(null, { [kContext]: { value: true } }) as object;
}

function compileFunction(code: unknown, params: unknown = [], options: unknown = {}): never {
  checkText(code, "code");
  const given = checkObject(options, "options");
  if (!Array.isArray(params)) throw invalidArgType("params", ["Array"], params);
  params.forEach((param, at) => checkText(param, `params[${at}]`));
  const { filename = "", columnOffset = 0, lineOffset = 0, cachedData, produceCachedData = false, parsingContext, contextExtensions = [], importModuleDynamically = false } = given;
  checkText(filename, "options.filename");
  checkInt32(columnOffset, "options.columnOffset");
  checkInt32(lineOffset, "options.lineOffset");
  if (cachedData !== undefined) checkBytes(cachedData, "options.cachedData");
  checkBoolean(produceCachedData, "options.produceCachedData");
  checkBoolean(importModuleDynamically, "options.importModuleDynamically");
  if (parsingContext !== undefined && (typeof parsingContext !== "object" || parsingContext === null || !isContext(parsingContext))) {
    throw invalidArgType("options.parsingContext", ["Context"], parsingContext);
  }
  if (!Array.isArray(contextExtensions)) throw invalidArgType("options.contextExtensions", ["Array"], contextExtensions);
  contextExtensions.forEach((extension, at) => {
    if (typeof extension !== "object") throw invalidArgType(`options.contextExtensions[${at}]`, ["Object"], extension);
  });
  throw unimplemented("compileFunction");
}

const createScript = (code: unknown, options: unknown = {}): Script => new Script(code, options);

const members: Record<string, unknown> = {
  Script,
  compileFunction,
  constants,
  createContext,
  createScript,
  isContext,
  measureMemory(options: unknown = {}): never {
    const { mode = "summary", execution = "default" } = checkObject(options, "options");
    checkOneOf(mode as string, "options.mode", ["summary", "detailed"]);
    checkOneOf(execution as string, "options.execution", ["default", "eager"]);
    throw unimplemented("measureMemory");
  },
  runInContext(code: unknown, object: unknown, options: unknown = {}): never {
    requireContext(object);
    const given = optionsOf(options);
    return createScript(code, given).runInContext(object, given);
  },
  runInNewContext(code: unknown, object: unknown, options: unknown = {}): never {
    const given = optionsOf(options);
    return createScript(code, given).runInNewContext(createContext(object, contextOptions(given)), given);
  },
  runInThisContext(code: unknown, options: unknown = {}): never {
    const given = optionsOf(options);
    return createScript(code, given).runInThisContext(given);
  },
};

export const vmModule: Record<string, unknown> = { ...members, default: members };
