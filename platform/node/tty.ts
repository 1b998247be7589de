// node:tty: no descriptor is a terminal; the classes are there to be asked and inherited from.

import { Duplex } from "./stream/duplex.ts";
import { defineMethods } from "./stream/legacy.ts";
import type { Duplex as DuplexType, StreamClass } from "./stream/types.ts";

interface Terminal extends DuplexType {
  fd: number;
  isRaw: boolean;
  isTTY: boolean;
  columns: number;
  rows: number;
}

type Callback = () => void;

function isatty(_fd?: unknown): boolean {
  return false;
}

const ReadStream = function ReadStream(this: Terminal, fd: number): void {
  Reflect.apply(Duplex as unknown as Callback, this, [{ read() {}, write: (_chunk: unknown, _encoding: string, done: Callback) => done() }]);
  this.fd = fd;
  this.isRaw = false;
  this.isTTY = false;
} as unknown as StreamClass<Terminal>;
Object.setPrototypeOf(ReadStream.prototype, Duplex.prototype);
Object.setPrototypeOf(ReadStream, Duplex);
defineMethods(ReadStream.prototype, {
  setRawMode(this: Terminal, mode: unknown): Terminal {
    this.isRaw = Boolean(mode);
    return this;
  },
});

const WriteStream = function WriteStream(this: Terminal, fd: number): void {
  Reflect.apply(Duplex as unknown as Callback, this, [{ read() {}, write: (_chunk: unknown, _encoding: string, done: Callback) => done() }]);
  this.fd = fd;
  this.columns = 0;
  this.rows = 0;
} as unknown as StreamClass<Terminal>;
Object.setPrototypeOf(WriteStream.prototype, Duplex.prototype);
Object.setPrototypeOf(WriteStream, Duplex);

/** Nothing moves; whoever waits for it is told. */
function unmoved(...args: unknown[]): boolean {
  const callback = args.find((argument) => typeof argument === "function");
  if (callback !== undefined) (callback as Callback)();
  return false;
}

defineMethods(WriteStream.prototype, {
  isTTY: true,
  _refreshSize(): void {},
  clearLine: unmoved,
  clearScreenDown: unmoved,
  cursorTo: unmoved,
  moveCursor: unmoved,
  /** Bits of colour: 256 of them, none of which is shown. */
  getColorDepth: (): number => 8,
  hasColors: (): boolean => false,
  getWindowSize(this: Terminal): [number, number] {
    return [this.columns, this.rows];
  },
});

const members: Record<string, unknown> = { ReadStream, WriteStream, isatty };

export const ttyModule: Record<string, unknown> = { ...members, default: members };
