// node:readline and node:readline/promises: lines out of a stream.
//
// There is no terminal: an interface reads whole lines of the `input` it is given (a file, a body, any
// stream) and writes prompts to its `output`. Without an input it is inert, as in Workers: a question is
// answered with nothing, and iterating gives one empty line. What moves a cursor says that it did not.
//
// Invariant: a line that has no end by the end of the input is still a line.

import { abortError, coded, invalidArgValue, isAbortSignal, requireFunction, requireObject } from "./errors.ts";
import { EventEmitter } from "./events.ts";
import { nextTick } from "./ticks.ts";
import { StringDecoder } from "./string-decoder.ts";

interface Input extends EventEmitter {
  pause?: () => unknown;
  resume?: () => unknown;
}

interface Output {
  write(text: string): unknown;
}

interface Options {
  input?: Input;
  output?: Output;
  prompt?: string;
  historySize?: number;
  signal?: unknown;
}

type Answer = (line: string) => void;

function closed(): Error {
  return coded(new Error("readline was closed"), "ERR_USE_AFTER_CLOSE");
}

export class Interface extends EventEmitter {
  terminal = false;
  line = "";
  cursor = 0;
  closed = false;
  paused = false;
  readonly input: Input | undefined;
  readonly output: Output | undefined;
  readonly #decoder = new StringDecoder("utf8");
  #prompt = "";
  #partial = "";
  /** A carriage return was last: a line feed right behind it belongs to it. */
  #sawReturn = false;
  #question: Answer | undefined;
  readonly #onData = (chunk: unknown): void => this.#take(typeof chunk === "string" ? chunk : this.#decoder.write(chunk));
  readonly #onEnd = (): void => this.#finish();

  constructor(input?: unknown, output?: unknown) {
    super();
    const isStream = typeof (input as Input | undefined)?.on === "function";
    const options = (isStream ? { input, output } : (input ?? {})) as Options;
    this.input = options.input;
    this.output = options.output;
    if (options.prompt !== undefined) this.#prompt = String(options.prompt);
    else if (this.input !== undefined) this.#prompt = "> ";
    if (this.input === undefined) return;
    if (typeof this.input.on !== "function") throw invalidArgValue("input", this.input);
    this.input.on("data", this.#onData);
    this.input.on("end", this.#onEnd);
    if (isAbortSignal(options.signal)) {
      if (options.signal.aborted) nextTick(() => this.close());
      else options.signal.addEventListener("abort", () => this.close(), { once: true });
    }
    this.input.resume?.();
  }

  #take(text: string): void {
    let rest = this.#partial + (this.#sawReturn && text.startsWith("\n") ? text.slice(1) : text);
    if (text !== "") this.#sawReturn = text.endsWith("\r");
    const lines = rest.split(/\r\n|\n|\r|\u2028|\u2029/);
    rest = lines.pop() ?? "";
    this.#partial = rest;
    for (const line of lines) {
      if (this.closed) return;
      this.#emitLine(line);
    }
  }

  #emitLine(line: string): void {
    const question = this.#question;
    this.#question = undefined;
    if (question !== undefined) question(line);
    else this.emit("line", line);
  }

  #finish(): void {
    const rest = this.#partial + this.#decoder.end();
    this.#partial = "";
    if (rest !== "") this.#emitLine(rest);
    this.close();
  }

  getPrompt(): string {
    return this.#prompt;
  }

  setPrompt(prompt: unknown): void {
    if (this.input !== undefined) this.#prompt = String(prompt);
  }

  prompt(_preserveCursor?: boolean): void {
    if (this.paused) this.resume();
    this.output?.write(this.#prompt);
  }

  question(query: unknown, ...rest: unknown[]): void {
    const callback = requireFunction(rest.length > 1 || typeof rest[0] !== "function" ? rest[1] : rest[0], "callback") as Answer;
    const { signal } = typeof rest[0] === "function" ? ({} as { signal?: unknown }) : ((rest[0] ?? {}) as { signal?: unknown });
    this.ask(String(query), callback, signal, () => {});
  }

  /** A question whose end by the signal is told of as well. */
  ask(query: string, callback: Answer, signal: unknown, aborted: (error: Error) => void): void {
    if (this.input === undefined) {
      callback("");
      return;
    }
    if (this.closed) throw closed();
    if (this.#question !== undefined) {
      this.prompt();
      return;
    }
    if (isAbortSignal(signal)) {
      if (signal.aborted) {
        aborted(abortError(signal.reason));
        return;
      }
      signal.addEventListener(
        "abort",
        () => {
          if (this.#question !== callback) return;
          this.#question = undefined;
          aborted(abortError(signal.reason));
        },
        { once: true },
      );
    }
    this.#question = callback;
    this.output?.write(query);
    if (this.paused) this.resume();
  }

  pause(): this {
    if (this.input === undefined || this.paused) return this;
    this.input.pause?.();
    this.paused = true;
    this.emit("pause");
    return this;
  }

  resume(): this {
    if (this.input === undefined || !this.paused) return this;
    this.input.resume?.();
    this.paused = false;
    this.emit("resume");
    return this;
  }

  close(): void {
    if (this.closed || this.input === undefined) return;
    this.pause();
    this.input.removeListener("data", this.#onData);
    this.input.removeListener("end", this.#onEnd);
    this.closed = true;
    this.emit("close");
  }

  write(data: unknown, _key?: unknown): void {
    if (this.input === undefined) return;
    if (this.closed) throw closed();
    if (this.paused) this.resume();
    this.#take(typeof data === "string" ? data : this.#decoder.write(data));
  }

  getCursorPos(): { rows: number; cols: number } {
    return { rows: 0, cols: 0 };
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    if (this.input === undefined) {
      yield "";
      return;
    }
    const lines: string[] = [];
    let wake = (): void => {};
    const onLine = (line: string): void => {
      lines.push(line);
      wake();
    };
    const onClose = (): void => wake();
    this.on("line", onLine);
    this.on("close", onClose);
    try {
      for (;;) {
        const line = lines.shift();
        if (line !== undefined) yield line;
        else if (this.closed) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      this.removeListener("line", onLine);
      this.removeListener("close", onClose);
      this.close();
    }
  }
}

class PromisesInterface extends Interface {
  override question(query: unknown, options: unknown = {}): Promise<string> & void {
    const { signal } = requireObject(options, "options");
    const asked = new Promise<string>((resolve, reject) => {
      try {
        this.ask(String(query), resolve, signal, reject);
      } catch (error) {
        reject(error);
      }
    });
    return asked as Promise<string> & void;
  }
}

/** Changes to a terminal, collected; there is none to change. */
class Readline {
  constructor(_stream?: unknown, _options?: unknown) {}
  clearLine(_direction?: unknown): this {
    return this;
  }
  clearScreenDown(): this {
    return this;
  }
  cursorTo(_x?: unknown, _y?: unknown): this {
    return this;
  }
  moveCursor(_dx?: unknown, _dy?: unknown): this {
    return this;
  }
  rollback(): this {
    return this;
  }
  async commit(): Promise<void> {}
}

const promises: Record<string, unknown> = {
  Interface: PromisesInterface,
  Readline,
  createInterface: (input?: unknown, output?: unknown) => new PromisesInterface(input, output),
};

/** Whatever was asked of a terminal that is not there did not happen. */
const not = (): boolean => false;

const members: Record<string, unknown> = {
  Interface,
  clearLine: not,
  clearScreenDown: (): boolean => false,
  createInterface: (input?: unknown, output?: unknown) => new Interface(input, output),
  cursorTo: (): boolean => false,
  emitKeypressEvents: (): void => {},
  moveCursor: (): boolean => false,
  promises,
};

export const readlineModule: Record<string, unknown> = { ...members, default: members };
export const readlinePromisesModule: Record<string, unknown> = { ...promises, default: promises };

export function linesOf(input: unknown): Interface {
  return new Interface({ input });
}
