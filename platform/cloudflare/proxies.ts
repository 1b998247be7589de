// Whether a value is a user's Proxy.
//
// A Proxy is sent over RPC as a stub, not as data, so the codec must tell one from the object it
// imitates. Only the engine can, and asking it for every object of a message would cost more than
// encoding the object; so the global `Proxy` notes its first use, and until then nobody asks.
//
// Invariant: `installProxyWatch` runs before user code, and the platform's own proxies are made
// with the constructor captured here.

import { engine } from "../ops.ts";

const RealProxy = Proxy;
let used = false;

export function installProxyWatch(): void {
  const watched = new RealProxy(RealProxy, {
    construct(target, args: [object, ProxyHandler<object>], newTarget): object {
      used = true;
      return Reflect.construct(target, args, newTarget) as object;
    },
    get(target, key, receiver): unknown {
      if (key === "revocable") used = true;
      return Reflect.get(target, key, receiver);
    },
  });
  Object.defineProperty(globalThis, "Proxy", {
    value: watched,
    writable: true,
    enumerable: false,
    configurable: true,
  });
}

/** `new Proxy` that the watch does not see: for the platform's own. */
export function platformProxy<T extends object>(target: T, handler: ProxyHandler<T>): T {
  return new RealProxy(target, handler);
}

/** The traps of a proxy that shows no properties of its own and takes none. */
export abstract class ClosedHandler<T extends object> implements ProxyHandler<T> {
  abstract get(target: T, key: string | symbol, proxy: object): unknown;
  abstract has(target: T, key: string | symbol): boolean;
  abstract apply(target: T, thisArg: unknown, args: unknown[]): unknown;
  set(): boolean {
    return false;
  }
  defineProperty(): boolean {
    return false;
  }
  deleteProperty(): boolean {
    return false;
  }
  ownKeys(): string[] {
    return [];
  }
  getOwnPropertyDescriptor(): undefined {
    return undefined;
  }
  setPrototypeOf(): boolean {
    return false;
  }
  preventExtensions(): boolean {
    return false;
  }
}

export function proxiesExist(): boolean {
  return used;
}

/** Whether `value` is any proxy at all; those of the platform are known by their owners. */
export function isPlainProxy(value: object): boolean {
  return engine.proxyDetails(value) !== undefined;
}
