// Bindings that the host answers itself: KV, R2, queues, D1.
//
// Each is a class of its own over one capability; what it asks goes as requests with a body, so that values of
// any size stream with back-pressure like every other body. The addresses mean nothing outside.
//
// Invariant: nothing here decides what is allowed; a guest that makes up requests meets the same rules in the host.

import type { HostedKind } from "../ops.ts";
import { Request } from "../web/request.ts";
import type { Response } from "../web/response.ts";
import { fetchThrough } from "./calls.ts";
import type { Cap } from "./caps.ts";

/** What a request to a binding may carry. */
export interface HostedInit {
  headers?: Record<string, string>;
  body?: unknown;
}

export class Hosted {
  readonly #cap: Cap;

  constructor(cap: Cap) {
    this.#cap = cap;
  }

  /** Asks the host. `path` begins with a slash; its parts are percent-encoded already. */
  ask(method: string, path: string, init: HostedInit = {}): Promise<Response> {
    // What is told of it is the operation, not the request.
    return fetchThrough(this.#cap, new Request(`https://binding${path}`, { method, ...init }), null);
  }

  /** Asks with JSON and gives the JSON of the answer. */
  async askJson(path: string, question: unknown): Promise<unknown> {
    const response = await this.ask("POST", path, { body: JSON.stringify(question) });
    return (await response.json()) as unknown;
  }
}

/** `?name=value` of what is defined, or nothing. */
export function query(parameters: Readonly<Record<string, string | number | undefined>>): string {
  const parts: string[] = [];
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) parts.push(`${name}=${encodeURIComponent(value)}`);
  }
  return parts.length === 0 ? "" : `?${parts.join("&")}`;
}

/** Makes what stands in `env`. */
export type HostedMaker = (hosted: Hosted, name: string) => unknown;

const makers = new Map<HostedKind, HostedMaker>();

export function registerHosted(kind: HostedKind, maker: HostedMaker): void {
  makers.set(kind, maker);
}

/** What a binding of this kind is in `env`. */
export function hostedBinding(kind: HostedKind, cap: Cap, name: string): unknown {
  const maker = makers.get(kind);
  if (maker === undefined) throw new Error(`The binding "${name}" is of a kind that is not supported: ${kind}.`);
  return maker(new Hosted(cap), name);
}
