// The bytes of compiled Wasm modules, for passing one on as a dynamic Worker's code.
//
// The engine does not give a module's bytes back, so the ways to compile one are watched and the
// bytes kept beside the module. Modules of the Worker's own table are compiled by the engine; their
// bytes are still in the table. A Worker without a loader is not watched and keeps nothing twice.
//
// Invariant: the bytes kept are those that were compiled, whatever happens to the buffer later.

import { engine } from "../ops.ts";
import { platformProxy } from "./proxies.ts";

const known = new WeakMap<object, Uint8Array>();
let watching = false;
let tableModules: string[] = [];

/** Names of the Wasm modules in this Worker's table. */
export function setWasmModules(names: string[]): void {
  tableModules = names;
}

export function wasmBytes(module: WebAssembly.Module): Uint8Array | undefined {
  const bytes = known.get(module);
  if (bytes !== undefined) return bytes;
  const name = nameInTable(module);
  return name === undefined ? undefined : new Uint8Array(engine.moduleBytes(name));
}

/**
 * Which module of the table this is. What `import source` gives is another object than the default
 * export, so where that is not it, the module with the same imports and exports is, if it is the
 * only one: a module that was not compiled at run time can come from nowhere else.
 */
function nameInTable(module: WebAssembly.Module): string | undefined {
  const compiled = tableModules.map((name) => engine.requireModule(name)["default"] as WebAssembly.Module);
  const same = compiled.indexOf(module);
  if (same >= 0) return tableModules[same];
  const wanted = shapeOf(module);
  const alike = tableModules.filter((_, index) => shapeOf(compiled[index] as WebAssembly.Module) === wanted);
  return alike.length === 1 ? alike[0] : undefined;
}

function shapeOf(module: WebAssembly.Module): string {
  return JSON.stringify([WebAssembly.Module.imports(module), WebAssembly.Module.exports(module)]);
}

function copyOf(source: unknown): Uint8Array | undefined {
  if (source instanceof ArrayBuffer) return new Uint8Array(source).slice();
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength).slice();
  return undefined;
}

function remember(module: unknown, bytes: Uint8Array | undefined): void {
  if (bytes !== undefined && module instanceof WebAssembly.Module) known.set(module, bytes);
}

export function watchWasm(): void {
  if (watching || typeof WebAssembly === "undefined") return;
  watching = true;
  const { Module, compile, instantiate } = WebAssembly;
  const watched = platformProxy(Module, {
    construct(target, args: [BufferSource], newTarget): object {
      const module = Reflect.construct(target, args, newTarget) as WebAssembly.Module;
      remember(module, copyOf(args[0]));
      return module;
    },
  });
  replace(WebAssembly, "Module", watched);
  replace(Module.prototype, "constructor", watched);
  replace(WebAssembly, "compile", function (source: BufferSource, ...rest: unknown[]): Promise<WebAssembly.Module> {
    const bytes = copyOf(source);
    const compiled = Reflect.apply(compile, WebAssembly, [source, ...rest]) as Promise<WebAssembly.Module>;
    return compiled.then((module) => {
      remember(module, bytes);
      return module;
    });
  });
  replace(WebAssembly, "instantiate", function (source: unknown, ...rest: unknown[]): Promise<unknown> {
    const bytes = copyOf(source);
    const made = Reflect.apply(instantiate, WebAssembly, [source, ...rest]) as Promise<{ module?: unknown }>;
    if (bytes === undefined) return made;
    return made.then((result) => {
      remember(result.module, bytes);
      return result;
    });
  });
}

function replace(holder: object, name: string, value: unknown): void {
  Object.defineProperty(holder, name, { value, writable: true, enumerable: false, configurable: true });
}

declare global {
  // The part of the Wasm JavaScript interface that is used here; the type library has it only with the DOM.
  namespace WebAssembly {
    class Module {
      static imports(module: Module): object[];
      static exports(module: Module): object[];
      constructor(bytes: BufferSource);
    }
    function compile(bytes: BufferSource): Promise<Module>;
    function instantiate(source: BufferSource | Module, imports?: object): Promise<unknown>;
  }
  type BufferSource = ArrayBuffer | ArrayBufferView;
}
