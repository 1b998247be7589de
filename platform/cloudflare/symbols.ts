// The disposal symbols, made here where the engine does not have them yet, and the name of the method that
// `ctx.restore()` calls.
//
// Invariant: evaluated before anything that names `Symbol.dispose`.

function ensure(name: "dispose" | "asyncDispose"): symbol {
  if (typeof Symbol[name] !== "symbol") {
    Object.defineProperty(Symbol, name, { value: Symbol(`Symbol.${name}`) });
  }
  return Symbol[name];
}

export const DISPOSE = ensure("dispose") as typeof Symbol.dispose;
ensure("asyncDispose");

/** What `cloudflare:workers` exports as `restore`. */
export const RESTORE: unique symbol = Symbol("restore");
