// Payloads that are kept beyond a call: the `env` of a Worker and the `props` of an entrypoint.
//
// Both take what can be cloned, and services; nothing that lives only as long as a call. An error
// about something in `env` says where in it that stands.
//
// Invariant: what is shipped here is within its bound.

import type { Payload } from "../ops.ts";
import { addBudget, describe } from "./errors.ts";
import { packNow, ship } from "./rpc/message.ts";
import type { Packed } from "./rpc/message.ts";
import { pathTo, refused } from "./rpc/encode.ts";
import { ENV_BYTES_MAX } from "./rpc/tags.ts";

export const NO_PROPS: Payload = { bytes: new Uint8Array(0), attachments: [] };

export function packProps(props: unknown): Payload {
  if (typeof props !== "object" || props === null) {
    throw new TypeError(`props must be an object, not ${describe(props)}.`);
  }
  return ship(packNow(props, "props"));
}

/** Packs `env` for a Worker to be loaded; `ship` it when the code goes. */
export function packEnv(env: unknown): Packed | undefined {
  if (env === undefined) return undefined;
  if (typeof env !== "object" || env === null) {
    throw new TypeError(`WorkerCode.env must be an object of bindings, not ${describe(env)}.`);
  }
  const packed = packWithPath(env);
  if (packed.bytes.length > ENV_BYTES_MAX) {
    const size = packed.bytes.length;
    const message = `Dynamic Worker env size (${size} bytes) exceeds the maximum allowed size of ${ENV_BYTES_MAX} bytes.`;
    throw addBudget(new Error(message), "env-size", size, ENV_BYTES_MAX);
  }
  return packed;
}

function packWithPath(env: object): Packed {
  try {
    return packNow(env, "env");
  } catch (error) {
    const path = refused.has(error as object) ? pathTo(refused.get(error as object), env, "env") : undefined;
    if (path === undefined) throw error;
    const { message } = error as Error;
    throw Object.defineProperty(error as Error, "message", { value: `${message} (at ${path})`, configurable: true });
  }
}
