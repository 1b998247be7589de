// `cloudflare:email` and `cloudflare:workflows`: the classes that a Worker makes itself.
//
// Deliberately absent: the products behind them. There is no binding that sends an EmailMessage and none
// that runs a workflow; what a library only constructs or compares works.

import { ReadableStream } from "../web/streams/index.ts";
import { USVString, defineInterface, requireArguments } from "../web/webidl.ts";

class EmailMessage {
  readonly #from: string;
  readonly #to: string;
  readonly #raw: unknown;

  constructor(from: unknown, to: unknown, raw: unknown) {
    requireArguments(arguments.length, 3, "EmailMessage constructor");
    this.#from = USVString(from, "EmailMessage constructor: from");
    this.#to = USVString(to, "EmailMessage constructor: to");
    this.#raw = raw instanceof ReadableStream ? raw : USVString(raw, "EmailMessage constructor: raw");
  }

  get from(): string {
    return this.#from;
  }

  get to(): string {
    return this.#to;
  }

  get raw(): unknown {
    return this.#raw;
  }
}
defineInterface(EmailMessage);

class NonRetryableError extends Error {
  constructor(message: string, name = "NonRetryableError") {
    super(message);
    this.name = name;
  }
}

export const cloudflareEmail: Record<string, unknown> = { EmailMessage };
export const cloudflareWorkflows: Record<string, unknown> = { NonRetryableError };
