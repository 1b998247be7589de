// `Queue`: the producing end of a queue over the host's store.
//
// Turns bodies into bytes and says what they are; `queues.ts` has the consuming end. The limits (128 KB a
// message, 100 messages and 256 KB a batch) are the host's to hold.
//
// Invariant: an error of the host reaches the caller as `Queue <method> failed: <why>`.

import { TextEncoder } from "../web/encoding.ts";
import { bytesView, defineInterface, internalToken, isObject, requireArguments, requireInternal } from "../web/webidl.ts";
import { has } from "./compat.ts";
import { describe } from "./errors.ts";
import { registerHosted } from "./hosted.ts";
import type { Hosted } from "./hosted.ts";
import { packNow } from "./rpc/message.ts";
import { openSpan } from "./trace.ts";

type Kind = "json" | "text" | "bytes" | "v8";

interface SentMessage {
  kind: Kind;
  /** In base64. */
  body: string;
  delaySeconds?: number;
}

interface Metrics {
  backlogCount: number;
  backlogBytes: number;
  oldestMessageTimestamp?: Date;
}

const encoder = new TextEncoder();
const NO_DATA = "Could not serialize a message: a message is data only.";

function kindOf(given: unknown): Kind {
  if (given === undefined) return has("queues_json_messages") ? "json" : "v8";
  const kind = String(given).toLowerCase();
  if (kind === "json" || kind === "text" || kind === "bytes" || kind === "v8") return kind;
  throw new TypeError(`Unsupported queue message content type: ${String(given)}`);
}

function bytesOf(body: unknown, kind: Kind): Uint8Array {
  switch (kind) {
    case "text":
      if (typeof body === "string") return encoder.encode(body);
      throw new TypeError(`Content Type "text" requires a value of type string, but received: ${typeof body}`);
    case "bytes":
      if (ArrayBuffer.isView(body)) return bytesView(body);
      throw new TypeError(`Content Type "bytes" requires a value of type ArrayBufferView, but received: ${typeof body}`);
    case "json": {
      const text = JSON.stringify(body) as string | undefined;
      if (text === undefined) throw new TypeError(`A message of type ${typeof body} has no form in JSON.`);
      return encoder.encode(text);
    }
    case "v8": {
      const packed = packNow(body, "props");
      if (packed.externals.length > 0) throw new TypeError(NO_DATA);
      return packed.bytes;
    }
  }
}

function delayOf(given: unknown): { delaySeconds?: number } {
  if (given === undefined) return {};
  const delaySeconds = Number(given);
  if (Number.isInteger(delaySeconds) && delaySeconds >= 0) return { delaySeconds };
  throw new TypeError(`delaySeconds must be a whole number of seconds, not ${describe(given)}.`);
}

function messageOf(body: unknown, options: unknown): SentMessage {
  if (body === undefined) throw new TypeError("Message body cannot be undefined");
  const { contentType, delaySeconds } = (isObject(options) ? options : {}) as Record<string, unknown>;
  const kind = kindOf(contentType);
  return { kind, body: base64(bytesOf(body, kind)), ...delayOf(delaySeconds) };
}

function base64(bytes: Uint8Array): string {
  return (bytes as Uint8Array & { toBase64(): string }).toBase64();
}

export class WorkerQueue {
  readonly #hosted: Hosted;

  constructor(token: unknown, hosted: Hosted) {
    requireInternal(token);
    this.#hosted = hosted;
  }

  async send(body: unknown, options?: unknown): Promise<{ metadata: { metrics: Metrics } }> {
    requireArguments(arguments.length, 1, "Queue.send");
    return { metadata: { metrics: await this.#ask("send", { messages: [messageOf(body, options)] }) } };
  }

  async sendBatch(messages: unknown, options?: unknown): Promise<{ metadata: { metrics: Metrics } }> {
    requireArguments(arguments.length, 1, "Queue.sendBatch");
    const sent: SentMessage[] = [];
    for (const message of messages as Iterable<unknown>) {
      if (!isObject(message)) throw new TypeError(`A message of a batch must be an object, not ${describe(message)}.`);
      sent.push(messageOf((message as { body?: unknown }).body, message));
    }
    if (sent.length === 0) throw new TypeError("sendBatch() requires at least one message");
    const delay = delayOf((options as { delaySeconds?: unknown } | undefined)?.delaySeconds);
    return { metadata: { metrics: await this.#ask("sendBatch", { messages: sent, ...delay }) } };
  }

  metrics(): Promise<Metrics> {
    return this.#ask("metrics", {});
  }

  async #ask(method: string, question: object): Promise<Metrics> {
    const span = openSpan(method === "metrics" ? "queue_metrics" : "queue_send");
    try {
      return await this.#answer(method, question);
    } finally {
      span?.end();
    }
  }

  async #answer(method: string, question: object): Promise<Metrics> {
    const path = method === "metrics" ? "/metrics" : "/send";
    const response = await this.#hosted.ask("POST", path, { body: JSON.stringify(question) });
    if (!response.ok) {
      void response.body?.cancel();
      throw new Error(`Queue ${method} failed: ${response.statusText}`);
    }
    const { oldestMessageTimestamp: oldest, ...rest } = (await response.json()) as Metrics & { oldestMessageTimestamp?: number };
    return oldest === undefined ? rest : { ...rest, oldestMessageTimestamp: new Date(oldest) };
  }
}
defineInterface(WorkerQueue);

registerHosted("queue", (hosted) => new WorkerQueue(internalToken, hosted));
