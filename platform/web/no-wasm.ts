// `WebAssembly` where the engine has no compiler: every way to make something of it says why not.
//
// A jitless Worker's process can have no executable memory, and the engine has no interpreter for
// WebAssembly. Code that asks `WebAssembly.validate()` first, or catches the error, takes its other
// path; the rest ends with words instead of with a missing global.
//
// Invariant: nothing here is installed where the engine has a `WebAssembly` of its own.

const WHY =
  "WebAssembly is not available: this Worker runs without executable memory (jitless), so nothing can be compiled.";

class CompileError extends Error {
  override get name(): string {
    return "CompileError";
  }
}

class LinkError extends Error {
  override get name(): string {
    return "LinkError";
  }
}

class RuntimeError extends Error {
  override get name(): string {
    return "RuntimeError";
  }
}

/** A constructor that always throws; `instanceof` works and is never true. */
function refusing(name: string): unknown {
  const made = class {
    constructor() {
      throw new CompileError(WHY);
    }
  };
  Object.defineProperty(made, "name", { value: name, configurable: true });
  return made;
}

function reject(): Promise<never> {
  return Promise.reject(new CompileError(WHY));
}

const namespace: Record<string, unknown> = {
  CompileError,
  LinkError,
  RuntimeError,
  compile: reject,
  compileStreaming: reject,
  instantiate: reject,
  instantiateStreaming: reject,
  validate: () => false,
};
for (const name of ["Exception", "Global", "Instance", "Memory", "Module", "Table", "Tag"]) namespace[name] = refusing(name);
Object.defineProperty(namespace, Symbol.toStringTag, { value: "WebAssembly", configurable: true });

export const noWebAssembly: object = namespace;
