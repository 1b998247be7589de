// Queue batches: `queue()` of a service stub sends one, the `queue()` handler receives it.
//
// A batch comes from the host, which has the queues (as JSON, and so goes what is said of it), or from a Worker
// that calls `env.SERVICE.queue(name, messages)`, which is how consumers are tested. What the handler said of
// each message is the result; a handler that threw is a result too. `serializedBody` holds V8's own serialisation, which nothing here reads: such a
// batch does not reach the handler and its outcome is an exception.
//
// Invariant: a message is acknowledged or to be retried, never both; the first word counts.

import type { Payload } from "../ops.ts";
import { TextDecoder } from "../web/encoding.ts";
import { dataCloneError, describe } from "./errors.ts";
import { packNow, ship, unpack } from "./rpc/message.ts";

interface SentMessage {
  id: string;
  timestamp: Date;
  attempts: number;
  body: unknown;
  serialized: boolean;
}

/** How much the queue holds besides this batch. */
interface Metadata {
  metrics: { backlogCount: number; backlogBytes: number; oldestMessageTimestamp?: Date };
}

interface SentBatch {
  messages: SentMessage[];
  metadata: Metadata;
}

/** What the host says of a message. */
interface WaitingMessage {
  id: string;
  timestamp: number;
  attempts: number;
  kind: string;
  /** In base64. */
  body: string;
}

interface RetryBatch {
  retry: boolean;
  delaySeconds?: number;
}

interface RetryMessage {
  msgId: string;
  delaySeconds?: number;
}

export interface QueueResult {
  outcome: string;
  ackAll: boolean;
  retryBatch: RetryBatch;
  explicitAcks: string[];
  retryMessages: RetryMessage[];
}

export function emptyResult(outcome: string): QueueResult {
  return { outcome, ackAll: false, retryBatch: { retry: false }, explicitAcks: [], retryMessages: [] };
}

// ---- sending

export function packBatch(messages: unknown, metadata: unknown): Payload {
  if (!Array.isArray(messages)) throw new TypeError(`queue(): messages must be an array, not ${describe(messages)}.`);
  const batch: SentBatch = { messages: messages.map(checkMessage), metadata: metadataOf(metadata) };
  return ship(packNow(batch, "props"));
}

/** What is left out is zero, and of the oldest message nothing is known. */
function metadataOf(value: unknown): Metadata {
  const given = (value as { metrics?: Record<string, unknown> } | undefined)?.metrics ?? {};
  const { backlogCount = 0, backlogBytes = 0, oldestMessageTimestamp: oldest } = given;
  const metrics: Metadata["metrics"] = { backlogCount: Number(backlogCount), backlogBytes: Number(backlogBytes) };
  if (oldest !== undefined) metrics.oldestMessageTimestamp = new Date(Number(oldest));
  return { metrics };
}

function checkMessage(value: unknown, index: number): SentMessage {
  const field = `queue(): messages[${index}]`;
  if (typeof value !== "object" || value === null) throw new TypeError(`${field} must be an object, not ${describe(value)}.`);
  const { id, timestamp, attempts, body, serializedBody } = value as Record<string, unknown>;
  if (typeof id !== "string") throw new TypeError(`${field}.id must be a string, not ${describe(id)}.`);
  if (!(timestamp instanceof Date)) throw new TypeError(`${field}.timestamp must be a Date, not ${describe(timestamp)}.`);
  if (typeof attempts !== "number") throw new TypeError(`${field}.attempts must be a number, not ${describe(attempts)}.`);
  if ((body === undefined) === (serializedBody === undefined)) {
    throw new TypeError(`${field} must have exactly one of body and serializedBody.`);
  }
  const serialized = serializedBody !== undefined;
  return { id, timestamp, attempts, body: serialized ? serializedBody : body, serialized };
}

// ---- receiving

class Answers {
  readonly result = emptyResult("ok");

  ack(id: string): void {
    const { result } = this;
    if (result.ackAll || result.retryMessages.some(({ msgId }) => msgId === id)) return;
    if (!result.explicitAcks.includes(id)) result.explicitAcks.push(id);
  }

  retry(id: string, options: unknown): void {
    const { result } = this;
    if (result.ackAll || result.explicitAcks.includes(id)) return;
    const delay = delayOf(options);
    const known = result.retryMessages.find(({ msgId }) => msgId === id);
    if (known === undefined) result.retryMessages.push({ msgId: id, ...delay });
    else Object.assign(known, delay);
  }

  ackAll(): void {
    if (!this.result.retryBatch.retry) this.result.ackAll = true;
  }

  retryAll(options: unknown): void {
    if (!this.result.ackAll) this.result.retryBatch = { retry: true, ...delayOf(options) };
  }
}

function delayOf(options: unknown): { delaySeconds?: number } {
  const delay: unknown = (options as { delaySeconds?: unknown } | undefined)?.delaySeconds;
  if (delay === undefined) return {};
  if (typeof delay !== "number" || !Number.isInteger(delay) || delay < 0) {
    throw new TypeError(`delaySeconds must be a whole number of seconds, not ${describe(delay)}.`);
  }
  return { delaySeconds: delay };
}

export class QueueMessage {
  readonly id: string;
  readonly timestamp: Date;
  readonly body: unknown;
  readonly attempts: number;
  readonly #answers: Answers;

  constructor({ id, timestamp, body, attempts }: SentMessage, answers: Answers) {
    this.id = id;
    this.timestamp = timestamp;
    this.body = body;
    this.attempts = attempts;
    this.#answers = answers;
  }
  ack(): void {
    this.#answers.ack(this.id);
  }
  retry(options?: unknown): void {
    this.#answers.retry(this.id, options);
  }
}

export class QueueEvent {
  readonly queue: string;
  readonly messages: QueueMessage[];
  readonly metadata: Metadata;
  readonly #answers: Answers;

  constructor(queue: string, { messages, metadata }: SentBatch, answers: Answers) {
    this.queue = queue;
    this.messages = messages.map((message) => new QueueMessage(message, answers));
    this.metadata = metadata;
    this.#answers = answers;
  }
  ackAll(): void {
    this.#answers.ackAll();
  }
  retryAll(options?: unknown): void {
    this.#answers.retryAll(options);
  }
}

function fromHost(text: string): SentBatch {
  const { messages, metrics } = JSON.parse(text) as { messages: WaitingMessage[]; metrics: object | null };
  return { messages: messages.map(fromWaiting), metadata: metadataOf({ metrics: metrics ?? {} }) };
}

function fromWaiting({ id, timestamp, attempts, kind, body }: WaitingMessage): SentMessage {
  const bytes = (Uint8Array as unknown as { fromBase64(text: string): Uint8Array }).fromBase64(body);
  return { id, timestamp: new Date(timestamp), attempts, body: bodyOf(kind, bytes), serialized: false };
}

function bodyOf(kind: string, bytes: Uint8Array): unknown {
  if (kind === "bytes") return bytes;
  if (kind === "v8") return unpack({ bytes, attachments: [] }).value;
  const text = decoder.decode(bytes);
  return kind === "json" ? (JSON.parse(text) as unknown) : text;
}

const decoder = new TextDecoder();

/** The batch for a handler, and the result that it fills. */
export function batchOf(queue: string, payload: Payload): { event: QueueEvent; result: QueueResult; asText: boolean } {
  // It was packed by the host, or by `packBatch` of this very platform in another Worker that may be anything.
  const value = unpack(payload).value;
  const asText = typeof value === "string";
  const batch = typeof value === "string" ? fromHost(value) : (value as SentBatch);
  if (!Array.isArray(batch.messages)) throw new TypeError("The batch of messages is none.");
  if (batch.messages.some(({ serialized }) => serialized)) {
    throw dataCloneError("A message has a serializedBody: V8's serialisation format is not supported.");
  }
  const answers = new Answers();
  return { event: new QueueEvent(queue, batch, answers), result: answers.result, asText };
}

export function packResult(result: QueueResult, asText: boolean): Payload {
  return ship(packNow(asText ? JSON.stringify(result) : result, "props"));
}
