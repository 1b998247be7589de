// What is behind a WebSocket: two directions, each to another end in this Worker or over the wire.
//
// A pair begins as two lines over the same two pipes. When one end leaves in a response, its pipes are
// joined to wire streams and the other end notices nothing. A line that came over the wire and that
// nobody accepted is passed on whole: the host joins what is before and behind this Worker. Messages arrive one to a turn, so that
// what a listener awaits goes on before the next.
//
// Deliberately absent: what closing means, and events (`websocket.ts`); frames of the protocol, which
// are the host's.
//
// Invariant: a line is listened to or handed over, once.

import { wire } from "../ops.ts";
import type { Failure, HeldSocket, PassedSocket, StreamId, WireSocket } from "../ops.ts";
import { failureOf } from "../cloudflare/failures.ts";
import { HEADER_BYTES, Close, type Said, Parcels, encodeSaid } from "./parcels.ts";
import { RESOLVED, upon } from "./streams/promises.ts";
import { type Drain, type Feed, type Forward, type WireReader, openReader, openWriter } from "./streams/wire.ts";
import { startTimer } from "./timers.ts";

/** Who hears what the other end says. */
export interface Listener {
  said(what: Said): void;
  /** Nothing more will come; `failure` says why, where anything does. */
  lost(failure: Failure | undefined): void;
}

/** Bytes from the wire become messages for a listener. */
class Ear implements Drain {
  readonly #reader: WireReader;
  readonly #listener: Listener;
  readonly #parcels = new Parcels();
  #last: { failure: Failure | undefined } | undefined;
  #waiting = false;
  #over = false;

  constructor(reader: WireReader, listener: Listener) {
    this.#reader = reader;
    this.#listener = listener;
  }

  push(bytes: Uint8Array): void {
    this.#parcels.push(bytes);
    if (!this.#waiting) this.#hear();
  }

  end(): void {
    this.#last = { failure: undefined };
    if (!this.#waiting) this.#hear();
  }

  abort(failure: Failure): void {
    this.#last = { failure };
    if (!this.#waiting) this.#hear();
  }

  #hear(): void {
    if (this.#over) return;
    let what: Said | undefined;
    try {
      what = this.#parcels.next();
    } catch (error) {
      this.#over = true;
      this.#reader.sayCancel("malformed");
      this.#listener.lost(failureOf(error, "limit"));
      return;
    }
    this.#reader.grant(this.#parcels.takeConsumed());
    if (what === undefined) {
      if (this.#last === undefined) return;
      this.#over = true;
      this.#listener.lost(this.#last.failure);
      return;
    }
    if (!this.#parcels.empty || this.#last !== undefined) this.#soon();
    this.#listener.said(what);
  }

  #soon(): void {
    this.#waiting = true;
    startTimer(() => {
      this.#waiting = false;
      this.#hear();
    }, 0);
  }
}

/** What a WebSocket speaks and hears through. */
export interface Speech {
  /** Whether the other end is outside this Worker, and keeps this end's invocation going. */
  readonly remote: boolean;
  /** Bytes said that have not left this Worker. */
  readonly unsent: number;
  /** Those of them that are messages' own: `bufferedAmount`. */
  readonly unsentPayload: number;
  /** Settles when all that was said has left this Worker. */
  readonly sent: Promise<undefined>;
  /** Called when the other end has left this Worker. */
  whenRemote: (() => void) | undefined;
  listen(listener: Listener, deaf: () => void): void;
  say(what: Said): void;
  handOver(): HandedOver;
  /** Leaves without a word. */
  drop(message: string): void;
}

/** What stands for an end that was given away, and when nothing passes through this Worker any more. */
export interface HandedOver {
  ends: WireSocket | HeldSocket | PassedSocket;
  finished: Promise<void>;
}

/** One direction. It has a sayer here or a reader, and a hearer here or a writer. */
class Pipe implements Feed {
  #queue: Said[] = [];
  #listener: Listener | undefined;
  #reader: WireReader | undefined;
  #writer: Forward | undefined;
  #scheduled = false;
  #ended = false;
  /** Bytes said that have not left this Worker. */
  unsent = 0;
  /** Those of them that are messages' own: at most. */
  #payload = 0;
  /** Bytes of messages that this turn has said; they count as unsent until it is over. */
  #justSaid = 0;
  whenDeaf: (() => void) | undefined;

  say(what: Said): void {
    if (this.#ended) return;
    this.#ended = what instanceof Close;
    if (this.#writer !== undefined) {
      this.#send(this.#writer, what);
      return;
    }
    this.#queue.push(what);
    this.#deliverSoon();
  }

  #send(writer: Forward, what: Said): void {
    const bytes = encodeSaid(what);
    this.unsent += bytes.length;
    if (!(what instanceof Close)) this.#count(bytes.length - HEADER_BYTES);
    writer.push(bytes);
    if (what instanceof Close) writer.end();
  }

  #count(bytes: number): void {
    this.#payload += bytes;
    if (this.#justSaid === 0) void Promise.resolve().then(() => (this.#justSaid = 0));
    this.#justSaid += bytes;
  }

  get unsentPayload(): number {
    return Math.max(this.#payload, this.#justSaid);
  }

  listen(listener: Listener): void {
    this.#listener = listener;
    if (this.#reader !== undefined) this.#reader.redirect(new Ear(this.#reader, listener));
    else this.#deliverSoon();
  }

  #deliverSoon(): void {
    if (this.#scheduled || this.#listener === undefined || this.#queue.length === 0) return;
    this.#scheduled = true;
    startTimer(() => {
      this.#scheduled = false;
      const what = this.#queue.shift();
      this.#deliverSoon();
      if (what !== undefined) this.#listener?.said(what);
    }, 0);
  }

  /** From now on `writer` carries what is said. */
  passTo(writer: Forward): void {
    if (this.#reader !== undefined) {
      writer.from = this.#reader;
      this.#reader.redirect(writer);
      return;
    }
    this.#writer = writer;
    writer.from = this;
    for (const what of this.#queue.splice(0)) this.#send(writer, what);
  }

  /** From now on `reader` brings what is said. */
  takeFrom(reader: WireReader): void {
    if (this.#writer !== undefined) {
      this.#writer.from = reader;
      reader.redirect(this.#writer);
      return;
    }
    this.#reader = reader;
    if (this.#listener !== undefined) reader.redirect(new Ear(reader, this.#listener));
  }

  /** Settles when all that was said has left this Worker. */
  get sent(): Promise<undefined> {
    return this.#writer?.finished.promise ?? RESOLVED;
  }

  /** Breaks off, unless it has ended. */
  break(error: Error): void {
    this.#reader?.sayCancel(error.message);
    if (this.#writer !== undefined && !this.#writer.done) this.#writer.abort(failureOf(error, "canceled"));
    if (this.#ended || (this.#reader === undefined && this.#writer === undefined)) return;
    this.#ended = true;
  }

  // As the writer's feed.

  grant(bytes: number): void {
    this.unsent -= bytes;
    if (this.#payload > this.unsent) this.#payload = this.unsent;
  }

  sayCancel(): void {
    this.#ended = true;
    this.whenDeaf?.();
  }

  passed(): void {}
}

/** What has no feed yet, until it is joined to a pipe. */
const NO_FEED: Feed = { grant: () => {}, sayCancel: () => {}, passed: () => {} };

/** One end. */
export class Line implements Speech {
  readonly #in: Pipe;
  readonly #out: Pipe;
  /** The other end, while it is in this Worker. */
  #peer: Line | undefined;
  #remote: boolean;
  /** The other end is outside, and nothing has been heard or said yet: this end can be passed on whole. */
  #untouched: HeldSocket | PassedSocket | undefined;
  whenRemote: (() => void) | undefined;

  private constructor(hears: Pipe, says: Pipe, remote: boolean) {
    this.#in = hears;
    this.#out = says;
    this.#remote = remote;
  }

  static pair(): [Line, Line] {
    const [there, back] = [new Pipe(), new Pipe()];
    const [first, second] = [new Line(back, there, false), new Line(there, back, false)];
    first.#peer = second;
    second.#peer = first;
    return [first, second];
  }

  /** A socket that the host has told of. */
  static fromWire(readable: StreamId, writable: StreamId): Line {
    const line = new Line(new Pipe(), new Pipe(), true);
    line.#untouched = ["passed", readable, writable];
    return line;
  }

  /** From now on this end is heard and spoken through here. */
  #touch(): void {
    const untouched = this.#untouched;
    if (untouched === undefined) return;
    this.#untouched = undefined;
    const isHeld = untouched[0] === "held";
    const hears = openReader(isHeld ? undefined : untouched[1]);
    const says = openWriter(NO_FEED, isHeld ? undefined : untouched[2]);
    if (isHeld) wire.openSocket(untouched[1], untouched[2], hears.id, says.id);
    this.#in.takeFrom(hears);
    this.#out.passTo(says);
    // The host keeps what comes until it is asked for.
    if (!isHeld) wire.streamRead(hears.id);
  }

  get remote(): boolean {
    return this.#remote;
  }

  /** The other end, while both are in this Worker. */
  get peer(): Line | undefined {
    return this.#peer;
  }

  /** The host takes the other end, of which nothing was used yet. */
  holdOther(held: HeldSocket): void {
    if (this.#peer !== undefined) this.#peer.#peer = undefined;
    this.#peer = undefined;
    this.#remote = true;
    this.#untouched = held;
  }

  listen(listener: Listener, deaf: () => void): void {
    this.#touch();
    this.#out.whenDeaf = deaf;
    this.#in.listen(listener);
  }

  say(what: Said): void {
    this.#touch();
    this.#out.say(what);
  }

  get unsent(): number {
    return this.#out.unsent;
  }

  get unsentPayload(): number {
    return this.#out.unsentPayload;
  }

  /** Settles when all that was said has left this Worker. */
  get sent(): Promise<undefined> {
    return this.#out.sent;
  }

  /** Gives this end to whoever gets the numbers. */
  handOver(): HandedOver {
    const untouched = this.#untouched;
    if (untouched !== undefined) {
      this.#untouched = undefined;
      return { ends: untouched, finished: Promise.resolve() };
    }
    const outward = openWriter(NO_FEED);
    const inward = openReader();
    // The message that names the streams goes first.
    upon(RESOLVED, () => this.#in.passTo(outward), undefined);
    this.#out.takeFrom(inward);
    const ends: WireSocket = ["socket", outward.id, inward.id];
    const peer = this.#peer;
    this.#peer = undefined;
    if (peer !== undefined) {
      peer.#peer = undefined;
      peer.#remote = true;
      peer.whenRemote?.();
      // The other end keeps its own invocation going for as long as it listens.
      return { ends, finished: Promise.resolve() };
    }
    const finished = Promise.all([outward.finished.promise, this.#out.sent]).then(() => {});
    return { ends, finished };
  }

  drop(message: string): void {
    if (!this.#remote || this.#untouched?.[0] === "held") return;
    this.#touch();
    const error = new Error(message);
    this.#in.break(error);
    this.#out.break(error);
  }
}
