// node:_stream_wrap: a stream of the program's own, as a `net.Socket`.
//
// Unlike workerd's it does not stand in for a connection under TLS: what a program writes there in the
// belief that it is encrypted would leave in the clear.
//
// Invariant: the socket closes with its stream, and the stream with the socket.

import { queueMicrotask } from "../web/microtask.ts";
import { checkObject, failure } from "./checks.ts";
import { type Connection, SocketClass } from "./net.ts";
import { duplexToWeb } from "./stream/web.ts";

interface Wrapped {
  readonly readableObjectMode?: boolean;
  on(event: string, listener: (...args: never[]) => unknown): unknown;
  once(event: string, listener: (...args: never[]) => unknown): unknown;
  destroy(error?: unknown): unknown;
}

class JSStreamSocket extends SocketClass {
  readonly stream: Wrapped;

  constructor(given: unknown) {
    const stream = checkObject(given, "stream") as unknown as Wrapped;
    const { promise: closed, resolve: close } = Promise.withResolvers<void>();
    const { readable, writable } = duplexToWeb(stream);
    const socket = {
      readable,
      writable,
      opened: Promise.resolve({}),
      closed,
      close: () => (stream.destroy(), close(), closed),
      startTls(): never {
        throw new Error("startTls() should not be called for a duplex stream");
      },
    } as unknown as Connection;
    super({});
    this.stream = stream;
    this.connecting = true;
    stream.once("close", () => {
      close();
      this.destroy();
    });
    if (stream.readableObjectMode === true) {
      queueMicrotask(() => this.emit("error", failure(Error, "ERR_STREAM_WRAP", "Stream has StringDecoder set or is in objectMode")));
      return;
    }
    this.adopt({ socket, reader: socket.readable.getReader(), writer: socket.writable.getWriter(), host: "0.0.0.0", port: 0, reading: false });
  }
}

export const streamWrapModule: Record<string, unknown> = { default: JSStreamSocket };
