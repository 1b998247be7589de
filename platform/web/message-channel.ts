// MessageChannel and MessagePort within one Worker.
//
// A message is cloned when it is posted and arrives in a task of its own. Setting `onmessage` starts
// the port, as the standard says; other listeners need `start()`.
//
// Deliberately absent: transferring ports; there is nowhere to transfer them to.
//
// Invariant: messages of one port arrive in the order they were posted, none after `close`.

import { engine } from "../ops.ts";
import { Event, EventTarget, MessageEvent, defineEventHandler, fireEvent, listenerAdded } from "./events.ts";
import { startTimer } from "./timers.ts";
import { defineInterface, dictionary, internalToken, object, requireArguments, requireInternal, sequence, withDefault } from "./webidl.ts";

const transferList = sequence(object);
const postOptions = dictionary("StructuredSerializeOptions", {
  transfer: withDefault<object[]>(transferList, () => []),
});

/** Reads the second argument of `postMessage`: a list to transfer, or options that hold one. */
export function transferOf(given: unknown, context: string): object[] {
  if (given === undefined || given === null) return [];
  if (typeof given === "object" && (given as { [Symbol.iterator]?: unknown })[Symbol.iterator] !== undefined) {
    return transferList(given, context);
  }
  return postOptions(given, context).transfer;
}

let entangle: (a: MessagePort, b: MessagePort) => void;

export class MessagePort extends EventTarget {
  #other: MessagePort | undefined;
  #queue: unknown[] = [];
  #started = false;
  #closed = false;
  #scheduled = false;

  constructor(token: unknown = undefined) {
    requireInternal(token);
    super();
  }

  postMessage(message: unknown, options: unknown = undefined): void {
    const other = this.#other;
    requireArguments(arguments.length, 1, "MessagePort.postMessage");
    const transfer = transferOf(options, "MessagePort.postMessage: options");
    const clone = engine.structuredClone(message, transfer);
    if (other === undefined || other.#closed || this.#closed) return;
    other.#queue.push(clone);
    other.#schedule();
  }

  start(): void {
    this.#started = true;
    this.#schedule();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue = [];
    const other = this.#other;
    this.#other = undefined;
    if (other === undefined || other.#closed) return;
    other.#other = undefined;
    startTimer(() => {
      // What was posted before the close arrives first.
      while (other.#queue.length > 0 && other.#started) other.#deliver();
      other.#closed = true;
      fireEvent(other, new Event("close"));
    }, 0);
  }

  [listenerAdded](type: string): void {
    if (type === "message" && this.onmessage !== null) this.start();
  }

  /** Defined below; declared for `listenerAdded`. */
  declare onmessage: object | null;

  #schedule(): void {
    if (!this.#started || this.#scheduled || this.#queue.length === 0) return;
    this.#scheduled = true;
    startTimer(() => {
      this.#scheduled = false;
      if (this.#queue.length > 0) this.#deliver();
      this.#schedule();
    }, 0);
  }

  #deliver(): void {
    const data = this.#queue.shift();
    fireEvent(this, new MessageEvent("message", { data }));
  }

  static {
    entangle = (a, b) => {
      a.#other = b;
      b.#other = a;
    };
  }
}
defineInterface(MessagePort);
defineEventHandler(MessagePort, "message");
defineEventHandler(MessagePort, "messageerror");
defineEventHandler(MessagePort, "close");

export class MessageChannel {
  #port1 = new MessagePort(internalToken);
  #port2 = new MessagePort(internalToken);

  constructor() {
    entangle(this.#port1, this.#port2);
  }

  get port1(): MessagePort {
    return this.#port1;
  }

  get port2(): MessagePort {
    return this.#port2;
  }
}
defineInterface(MessageChannel);

