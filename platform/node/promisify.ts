// The symbol under which a function with a callback keeps its form with a promise.

export const promisifySymbol: unique symbol = Symbol.for("nodejs.util.promisify.custom") as never;
