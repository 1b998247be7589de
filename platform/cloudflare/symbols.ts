// The disposal symbols, made here where the engine does not have them yet.
//
// Invariant: evaluated before anything that names `Symbol.dispose`.

function ensure(name: "dispose" | "asyncDispose"): symbol {
  if (typeof Symbol[name] !== "symbol") {
    Object.defineProperty(Symbol, name, { value: Symbol(`Symbol.${name}`) });
  }
  return Symbol[name];
}

export const DISPOSE = ensure("dispose") as typeof Symbol.dispose;
export const ASYNC_DISPOSE = ensure("asyncDispose") as typeof Symbol.asyncDispose;
