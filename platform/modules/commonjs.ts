// CommonJS: evaluates `cjs` modules of the table and gives them `require()`.
//
// A module is evaluated once; a cycle sees the exports made so far. `require()` reaches every kind
// of module: CommonJS gives `module.exports`, an ES module its namespace (or its export named
// `module.exports`), the others their value. Resolution is the engine's, so that a missing module names its importer and
// close matches just as `import` does.
//
// Invariant: a module that threw while it was evaluated is forgotten and evaluated again next time.

import { engine } from "../ops.ts";
import type { ModuleKind } from "../ops.ts";
import { has } from "../cloudflare/compat.ts";
import { builtin } from "./builtins.ts";

interface CommonJsModule {
  exports: unknown;
  readonly id: string;
  readonly filename: string;
  readonly path: string;
  loaded: boolean;
  readonly children: CommonJsModule[];
  readonly require: (specifier: string) => unknown;
}

type Require = ((specifier: string) => unknown) & {
  resolve(specifier: string): string;
  cache: Record<string, CommonJsModule>;
};

const kinds = new Map<string, ModuleKind>();
const cache: Record<string, CommonJsModule> = Object.create(null) as Record<string, CommonJsModule>;

/** The module table of this Worker. */
export function setModules(modules: readonly [name: string, kind: ModuleKind][]): void {
  kinds.clear();
  for (const name of Object.keys(cache)) delete cache[name];
  for (const [name, kind] of modules) kinds.set(name, kind);
}

/** The table, for the file system's `/bundle`. */
export function modulesByName(): ReadonlyMap<string, ModuleKind> {
  return kinds;
}

/** Evaluates the CommonJS module `name` and gives its `module.exports`. */
export function commonJs(name: string): unknown {
  const known = cache[name];
  if (known !== undefined) return known.exports;
  const slash = name.lastIndexOf("/");
  const path = slash < 0 ? "." : name.slice(0, slash);
  const require = requireFrom(name);
  const module: CommonJsModule = { exports: {}, id: name, filename: name, path, loaded: false, children: [], require };
  cache[name] = module;
  try {
    const body = engine.compileFunction(name, engine.moduleText(name), [
      "exports",
      "require",
      "module",
      "__filename",
      "__dirname",
    ]);
    Reflect.apply(body, module.exports, [module.exports, require, module, name, path]);
  } catch (error) {
    delete cache[name];
    throw error;
  }
  module.loaded = true;
  return module.exports;
}

/** A `require()` whose specifiers are relative to the module `importer`. */
export function requireFrom(importer: string): Require {
  const require = (specifier: string): unknown => {
    if (typeof specifier !== "string") {
      throw new TypeError(`require() in "${importer}" needs the name of a module, not ${typeof specifier}.`);
    }
    return load(engine.resolveModule(specifier, importer));
  };
  return Object.assign(require, {
    resolve: (specifier: string) => engine.resolveModule(specifier, importer),
    cache,
  });
}

function load(name: string): unknown {
  const kind = kinds.get(name);
  if (kind === "cjs") return commonJs(name);
  if (kind === undefined) {
    const found = builtin(name);
    if (found === undefined) throw new Error(`No such module "${name}".`);
    return "default" in found ? found["default"] : found;
  }
  const namespace = engine.requireModule(name);
  if (kind !== "js") return namespace["default"];
  if ("module.exports" in namespace) return namespace["module.exports"];
  const unwraps = has("require_returns_default_export") || namespace["__cjsUnwrapDefault"] === true;
  return unwraps && "default" in namespace ? namespace["default"] : namespace;
}
