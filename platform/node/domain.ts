// node:domain: deprecated in Node.js, and here, as in Workers, a name that code may use without effect.

import { EventEmitter } from "./events.ts";

type AnyFunction = (...args: unknown[]) => unknown;

export class Domain extends EventEmitter {
  members: unknown[] | undefined = undefined;

  _errorHandler(error: unknown): never {
    throw error;
  }
  enter(): void {}
  exit(): void {}
  add(_emitter: unknown): void {}
  remove(_emitter: unknown): void {}
  run(work: AnyFunction, ...args: unknown[]): unknown {
    return Reflect.apply(work, this, args);
  }
  intercept(callback: AnyFunction): AnyFunction {
    return callback;
  }
  bind(callback: AnyFunction): AnyFunction {
    return callback;
  }
}

const createDomain = (): Domain => new Domain();
const members: Record<string, unknown> = { Domain, active: null, create: createDomain, createDomain };

export const domainModule: Record<string, unknown> = { ...members, default: members };
