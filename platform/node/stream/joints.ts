// How a Duplex passes on to another stream what is written to it, and reads from another what it gives.
//
// For those that make one Duplex of several streams (`compose`, `Duplex.from`). Ends and errors are
// theirs to watch.
//
// Invariant: whoever waits is called once, or never after `forget`.

import type { Callback, Duplex, Readable, Writable } from "./types.ts";

/** Who waits for the streams behind a Duplex. */
export class Waiting {
  drain: Callback | null = null;
  finish: Callback | null = null;
  readable: (() => void) | null = null;

  call(event: "drain" | "finish" | "readable"): void {
    const waiting = this[event];
    this[event] = null;
    waiting?.();
  }

  forget(): void {
    this.drain = this.finish = this.readable = null;
  }
}

/** What is written to `duplex` is written to `sink`; who waits for its end is the caller's to call. */
export function writeThrough(duplex: Duplex, sink: Writable, waiting: Waiting): void {
  duplex._write = (chunk, encoding, callback) => {
    if (sink.write(chunk, encoding)) callback();
    else waiting.drain = callback;
  };
  duplex._final = (callback) => {
    sink.end();
    waiting.finish = callback;
  };
  sink.on("drain", () => waiting.call("drain"));
}

/** `duplex` gives what `source` gives, to its end. */
export function readThrough(duplex: Duplex, source: Readable, waiting: Waiting): void {
  source.on("readable", () => waiting.call("readable"));
  source.on("end", () => duplex.push(null));
  duplex._read = () => {
    for (;;) {
      const chunk = source.read();
      if (chunk === null) {
        waiting.readable = () => duplex._read(0);
        return;
      }
      if (!duplex.push(chunk)) return;
    }
  };
}
