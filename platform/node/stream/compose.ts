// `compose`: several streams as one Duplex, which writes to the first and reads from the last.

import { abortError, invalidArgValue, missingArgs } from "../errors.ts";
import { destroyer } from "./destroy.ts";
import { Duplex, duplexFrom } from "./duplex.ts";
import { finished } from "./end-of-stream.ts";
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
  let onDrain: Callback | null = null;
  let onFinish: Callback | null = null;
  let onReadable: (() => void) | null = null;
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
  const run = (work: Callback | null): void => work?.();

  if (writable) {
    if (isNodeStream(head)) {
      const sink = head as Writable;
      duplex._write = (chunk, encoding, callback) => {
        if (sink.write(chunk, encoding)) callback();
        else onDrain = callback;
      };
      duplex._final = (callback) => {
        sink.end();
        onFinish = callback;
      };
      sink.on("drain", () => {
        const callback = onDrain;
        onDrain = null;
        run(callback);
      });
    } else {
      writeToWeb(duplex, head, (callback) => (onFinish = callback));
    }
    finished(isTransformStream(tail) ? (tail as { readable: unknown }).readable : tail, () => {
      const callback = onFinish;
      onFinish = null;
      run(callback);
    });
  }
  if (readable) {
    if (isNodeStream(tail)) {
      const source = tail as Readable;
      source.on("readable", () => {
        const work = onReadable;
        onReadable = null;
        work?.();
      });
      source.on("end", () => duplex.push(null));
      duplex._read = () => {
        for (;;) {
          const chunk = source.read();
          if (chunk === null) {
            onReadable = () => duplex._read(0);
            return;
          }
          if (!duplex.push(chunk)) return;
        }
      };
    } else {
      readFromWeb(duplex, tail);
    }
  }
  duplex._destroy = (given_, callback) => {
    const error = !given_ && onClose !== null ? abortError() : given_;
    onReadable = onDrain = onFinish = null;
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
