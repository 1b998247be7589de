// `compose`: several streams as one Duplex, which writes to the first and reads from the last.

import { abortError, invalidArgValue, missingArgs } from "../errors.ts";
import { destroyer } from "./destroy.ts";
import { Duplex, duplexFrom } from "./duplex.ts";
import { finished } from "./end-of-stream.ts";
import { Waiting, readThrough, writeThrough } from "./joints.ts";
import { isNodeStream, isReadable, isReadableStream, isTransformStream, isWebStream, isWritable, isWritableStream } from "./kinds.ts";
import { pipeline } from "./pipeline.ts";
import type { Callback, Duplex as DuplexType, Readable, Writable } from "./types.ts";

const mayRead = (stream: unknown): boolean => Boolean(isReadable(stream) || isReadableStream(stream) || isTransformStream(stream));
const mayWrite = (stream: unknown): boolean => Boolean(isWritable(stream) || isWritableStream(stream) || isTransformStream(stream));

export function compose(...given: unknown[]): DuplexType {
  if (given.length === 0) throw missingArgs("streams");
  if (given.length === 1) return duplexFrom(given[0]) as DuplexType;
  const streams = [...given];
  const last = streams.length - 1;
  if (typeof streams[0] === "function") streams[0] = duplexFrom(streams[0]);
  if (typeof streams[last] === "function") streams[last] = duplexFrom(streams[last]);
  for (const [index, stream] of streams.entries()) {
    if (!isNodeStream(stream) && !isWebStream(stream)) continue;
    if (index < last && !mayRead(stream)) throw invalidArgValue(`streams[${index}]`, given[index], "must be readable");
    if (index > 0 && !mayWrite(stream)) throw invalidArgValue(`streams[${index}]`, given[index], "must be writable");
  }
  const waiting = new Waiting();
  let onClose: Callback | null | undefined;
  const head = streams[0];
  const tail = pipeline(...streams, (error: unknown) => {
    const callback = onClose;
    onClose = null;
    if (callback) callback(error);
    else if (error) duplex.destroy(error);
    else if (!readable && !writable) duplex.destroy();
  });
  const writable = mayWrite(head);
  const readable = mayRead(tail);
  const duplex = new Duplex({
    writableObjectMode: Boolean((head as Writable).writableObjectMode),
    readableObjectMode: Boolean((tail as Readable).readableObjectMode),
    writable,
    readable,
  });

  if (writable) {
    if (isNodeStream(head)) {
      writeThrough(duplex, head as Writable, waiting);
    } else {
      writeToWeb(duplex, head, (callback) => (waiting.finish = callback));
    }
    finished(isTransformStream(tail) ? (tail as { readable: unknown }).readable : tail, () => waiting.call("finish"));
  }
  if (readable) {
    if (isNodeStream(tail)) readThrough(duplex, tail as Readable, waiting);
    else readFromWeb(duplex, tail);
  }
  duplex._destroy = (given_, callback) => {
    const error = !given_ && onClose !== null ? abortError() : given_;
    waiting.forget();
    if (isNodeStream(tail)) destroyer(tail, error);
    if (onClose === null) callback(error);
    else onClose = callback;
  };
  return duplex;
}

function writeToWeb(duplex: DuplexType, head: unknown, whenFinished: (callback: Callback) => void): void {
  const sink = (isTransformStream(head) ? (head as { writable: unknown }).writable : head) as {
    getWriter(): { readonly ready: Promise<void>; write(chunk: unknown): Promise<void>; close(): Promise<void> };
  };
  const writer = sink.getWriter();
  duplex._write = (chunk, _encoding, callback) => {
    writer.ready.then(() => {
      writer.write(chunk).catch(() => {});
      callback();
    }).catch(callback);
  };
  duplex._final = (callback) => {
    writer.ready.then(() => {
      writer.close().catch(() => {});
      whenFinished(callback);
    }).catch(callback);
  };
}

function readFromWeb(duplex: DuplexType, tail: unknown): void {
  const source = (isTransformStream(tail) ? (tail as { readable: unknown }).readable : tail) as {
    getReader(): { read(): Promise<{ value: unknown; done: boolean }> };
  };
  const reader = source.getReader();
  duplex._read = () => {
    void (async () => {
      for (;;) {
        try {
          const { value, done } = await reader.read();
          if (!done && !duplex.push(value)) return;
          if (!done) continue;
          duplex.push(null);
        } catch {
          // The pipeline tells of it.
        }
        return;
      }
    })();
  };
}
