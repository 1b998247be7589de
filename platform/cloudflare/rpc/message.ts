// Values to payloads and back: the codec joined to stubs, streams and platform objects.
//
// Packing is pure: it lists what is not data. Shipping turns that list into attachments, and is
// the moment at which objects are exported, streams begin and bodies count as used; it happens in
// the same turn as the frame is sent. A packed value can also be handed over inside this Worker
// (`unpackLocal`), with the same copying but without a frame.
//
// Invariant: every attachment that arrives is owned by the message's disposal group or given back.

import { PLAIN_KINDS, ops } from "../../ops.ts";
import type { Arrived, Attached, Attachment, Payload } from "../../ops.ts";
import { sendReadable, receiveReadable, receiveWritable, sendWritable } from "../../web/streams/wire.ts";
import { ReadableStream } from "../../web/streams/readable.ts";
import { WritableStream } from "../../web/streams/writable.ts";
import { handOverWebSocket, webSocketFromWire } from "../../web/websocket.ts";
import { classOf, newClass } from "../actors/class.ts";
import { Cap, hold } from "../caps.ts";
import { followCurrent } from "../context.ts";
import { addBudget, dataCloneError } from "../errors.ts";
import { newService, serviceOf } from "../fetcher.ts";
import { loaderCap, newLoader } from "../loader.ts";
import { isPlainProxy } from "../proxies.ts";
import { DISPOSE } from "../symbols.ts";
import { MalformedError, TooLargeError, arrivals } from "./bytes.ts";
import { decode } from "./decode.ts";
import type { DecodeHost } from "./decode.ts";
import { encode, refuse, refused } from "./encode.ts";
import type { EncodeHost, Parts, Settled } from "./encode.ts";
import { GivenSocket, buildPlatform, platformParts } from "./platform.ts";
import { newStub, promiseBehind, remoteClassName, stubState } from "./stub.ts";
import type { StubState } from "./stub.ts";
import { MESSAGE_BYTES_MAX, Tag } from "./tags.ts";
import { LocalTarget, RpcTarget, isFunctionForRpc, reachOf } from "./target.ts";
import type { Reach } from "./target.ts";
import { has } from "../compat.ts";

/**
 * What a message is for. `params` and `result` are a call's; `env` and `props` are kept beyond any
 * call, so nothing in them may depend on one.
 */
export type Purpose = "params" | "result" | "env" | "props";

export type External =
  | { kind: "cap"; cap: Cap }
  | { kind: "local"; target: LocalTarget }
  | { kind: "object"; object: object; reach: Reach; quiet: boolean }
  | { kind: "readable"; stream: ReadableStream }
  | { kind: "writable"; stream: WritableStream }
  | { kind: "socket"; given: GivenSocket }
  | { kind: "bytes"; buffer: ArrayBuffer };

export interface Packed {
  bytes: Uint8Array;
  externals: External[];
  /** Run when the message goes: bodies count as used, stubs that moved away are disposed. */
  commits: (() => void)[];
  /** Stubs in the value. Those that move away are disposed by a commit. */
  stubs: ReadonlySet<StubState>;
}

/** Stubs that came in one message. */
export interface DisposalGroup {
  readonly isEmpty: boolean;
  /** Disposes them all, but for those that went on in another message. */
  dispose(except?: ReadonlySet<StubState>): void;
}

export interface Unpacked {
  value: unknown;
  group: DisposalGroup;
}

/** Functions of the platform's own, whose being held does not keep a context open. */
export const quiet = new WeakSet<object>();

// ---- packing

/** Packs `value`; a promise of it when promises inside have to be awaited first. */
export function pack(value: unknown, purpose: Purpose): Packed | Promise<Packed> {
  return packAgain(value, purpose, undefined);
}

/** Packs what is kept beyond a call; promises inside are refused. */
export function packNow(value: unknown, purpose: Purpose): Packed {
  const packed = packAgain(value, purpose, undefined);
  if (!(packed instanceof Promise)) return packed;
  throw dataCloneError(`A promise cannot be stored in ${purpose}. Await it first.`);
}

function packAgain(value: unknown, purpose: Purpose, settled: Settled | undefined): Packed | Promise<Packed> {
  const packer = new Packer(purpose);
  const encoded = encodeBounded(value, packer, settled, purpose === "result" ? packer.disposerOf(value) : undefined);
  if ("bytes" in encoded) {
    return { bytes: encoded.bytes, externals: encoded.externals, commits: packer.commits, stubs: packer.stubs };
  }
  const { promises } = encoded;
  return Promise.all(promises).then((values) => {
    const known: Settled = settled ?? new Map();
    promises.forEach((promise, index) => known.set(promise, values[index]));
    return packAgain(value, purpose, known);
  });
}

function encodeBounded(
  value: unknown,
  packer: Packer,
  settled: Settled | undefined,
  disposer: External | undefined,
): ReturnType<typeof encode<External>> {
  try {
    return encode(value, packer, { bytesMax: MESSAGE_BYTES_MAX, settled }, disposer);
  } catch (error) {
    if (!(error instanceof TooLargeError)) throw error;
    const refusal = dataCloneError(
      "Serialized RPC arguments or return values are limited to 32MiB, but the size of this value was: " +
        `${error.bytes} bytes or more (MESSAGE_BYTES_MAX is ${MESSAGE_BYTES_MAX}).`,
    );
    throw addBudget(refusal, "message-size", error.bytes, MESSAGE_BYTES_MAX);
  }
}

const NO_STUBS: ReadonlySet<StubState> = new Set();

/** A copy: the owner may change the buffer before the message goes. */
function besideOf(buffer: ArrayBuffer): External {
  return { kind: "bytes", buffer: ops.bytesCopy(new Uint8Array(buffer), buffer.byteLength).buffer as ArrayBuffer };
}

class Packer implements EncodeHost<External> {
  readonly commits: (() => void)[] = [];
  /** Made when the first comes: most messages have none. */
  #stubs: Set<StubState> | undefined;
  readonly #purpose: Purpose;
  readonly #persistent: boolean;
  #promises: Map<object, Promise<unknown>> | undefined;

  /** Nothing is beside what is kept. */
  readonly beside: ((buffer: ArrayBuffer) => External) | undefined;

  constructor(purpose: Purpose) {
    this.#purpose = purpose;
    this.#persistent = purpose === "env" || purpose === "props";
    this.beside = this.#persistent ? undefined : besideOf;
  }

  get stubs(): ReadonlySet<StubState> {
    return this.#stubs ?? NO_STUBS;
  }

  // No private getter here: each instance would be given a property for it.
  /** Whether sending a stub gives it away. Results do; parameters did before a flag's date. */
  #moves(): boolean {
    if (this.#purpose === "result") return true;
    return this.#purpose === "params" && !has("rpc_params_dup_stubs");
  }

  disposerOf(value: unknown): External | undefined {
    if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return undefined;
    if (typeof (value as { [DISPOSE]?: unknown })[DISPOSE] !== "function") return undefined;
    return { kind: "object", object: value, reach: "own", quiet: false };
  }

  recognise(value: object): { external: External } | { parts: Parts } | { promise: Promise<unknown> } | undefined {
    const state = stubState(value);
    if (state !== undefined) return { external: this.#stub(state) };
    const remote = remoteClassName(value);
    if (remote !== undefined) return { promise: this.#remotePromise(value, remote) };
    const service = serviceOf(value);
    if (service !== undefined) return { external: { kind: "cap", cap: service.transferable() } };
    const cls = classOf(value);
    if (cls !== undefined) return { external: { kind: "cap", cap: cls.transferable() } };
    const loader = loaderCap(value);
    if (loader !== undefined && this.#purpose === "env") return { external: { kind: "cap", cap: loader } };
    return this.#local(value);
  }

  #stub(state: StubState): External {
    const { callee } = state;
    (this.#stubs ??= new Set()).add(state);
    if (this.#moves()) this.commits.push(() => state.dispose());
    return callee instanceof Cap ? { kind: "cap", cap: callee } : { kind: "local", target: callee };
  }

  #remotePromise(value: object, name: string): Promise<unknown> {
    // In a result, as in workerd, it is refused: the call it belongs to may never end.
    if (this.#purpose !== "params") {
      throw dataCloneError(`Could not serialize object of type "${name}". This type does not support serialization.`);
    }
    const known = (this.#promises ??= new Map());
    let promise = known.get(value);
    if (promise === undefined) known.set(value, (promise = promiseBehind(value) as Promise<unknown>));
    return promise;
  }

  #local(value: object): { external: External } | { parts: Parts } | undefined {
    if (value instanceof ReadableStream || value instanceof WritableStream) return { external: this.#stream(value) };
    if (value instanceof GivenSocket) return this.#persistent ? refuse(value) : { external: { kind: "socket", given: value } };
    const parts = platformParts(value, this.commits);
    if (parts !== undefined) return { parts };
    if (typeof value !== "function" && !(value instanceof RpcTarget) && !isPlainProxy(value)) return undefined;
    if (this.#persistent) {
      if (typeof value === "function") throw notData(value, `${String(value.name || "A function")} could not be cloned.`);
      if (value instanceof RpcTarget) throw notData(value, "Remote RPC references can only be serialized for RPC.");
      return refuse(value);
    }
    const reach = reachOf(value);
    if (reach === undefined) {
      throw notData(
        value,
        "Proxy could not be serialized because it is not a valid RPC receiver type. The Proxy must emulate either a " +
          "plain object or an RpcTarget, as indicated by the Proxy's prototype chain.",
      );
    }
    return { external: { kind: "object", object: this.#duplicate(value, reach), reach, quiet: quiet.has(value) } };
  }

  /** Parameters stay the caller's: an object that can be duplicated is. */
  #duplicate(value: object, reach: Reach): object {
    if (this.#purpose !== "params" || this.#moves()) return value;
    const dup: unknown = (value as { dup?: unknown }).dup;
    if (typeof dup !== "function") return value;
    const copy: unknown = Reflect.apply(dup, value, []);
    const isObject = (typeof copy === "object" && copy !== null) || typeof copy === "function";
    if (isObject && reachOf(copy) === reach) return copy;
    const kind = isFunctionForRpc(value) ? "function" : "RpcTarget";
    throw dataCloneError(
      `Couldn't create a stub for the ${kind} because it has a dup() method which did not return another ${kind}. ` +
        `Either remove the dup() method or make sure it returns ${kind === "function" ? "a function" : "an RpcTarget"}.`,
    );
  }

  #stream(stream: ReadableStream | WritableStream): External {
    if (this.#persistent) return refuse(stream);
    if (stream instanceof ReadableStream) {
      if (stream.locked) throw new TypeError("The ReadableStream has been locked to a reader.");
      return { kind: "readable", stream };
    }
    if (stream.locked) throw new TypeError("The WritableStream has been locked to a writer.");
    return { kind: "writable", stream };
  }
}

function notData(value: object, message: string): Error {
  const error = dataCloneError(message);
  refused.set(error, value);
  return error;
}

// ---- shipping

/** The payload to put into a frame now. */
export function ship(packed: Packed): Payload {
  const { bytes, externals, commits } = packed;
  const attachments = externals.length === 0 ? [] : externals.map(attach);
  for (let i = 0; i < commits.length; i++) (commits[i] as () => void)();
  return { bytes, attachments };
}

/** The same where all attachments are plain; else undefined, and nothing has happened. */
export function shipPlain({ externals, commits }: Packed): number[] | undefined {
  for (let i = 0; i < externals.length; i++) {
    const { kind } = externals[i] as External;
    if (kind === "socket" || kind === "bytes") return undefined;
  }
  const attached: number[] = [];
  for (let i = 0; i < externals.length; i++) attachPlain(externals[i] as External, attached);
  for (let i = 0; i < commits.length; i++) (commits[i] as () => void)();
  return attached;
}

function attachPlain(external: External, attached: number[]): void {
  const attachment = attach(external);
  const kind = attachment[0] === "cap" ? attachment[2] : attachment[0];
  attached.push(PLAIN_KINDS.indexOf(kind as (typeof PLAIN_KINDS)[number]), attachment[1] as number);
}

function attach(external: External): Attachment {
  switch (external.kind) {
    case "cap":
      return ["cap", external.cap.id, external.cap.kind];
    case "local":
      return ["export", external.target.export()];
    case "object":
      return ["export", new LocalTarget(external.object, external.reach, external.quiet).export()];
    case "readable": {
      const { id, finished } = sendReadable(external.stream);
      followCurrent(finished);
      return ["readable", id];
    }
    case "writable": {
      const { id, finished } = sendWritable(external.stream);
      followCurrent(finished);
      return ["writable", id];
    }
    case "socket": {
      const { ends, finished } = handOverWebSocket(external.given.socket);
      followCurrent(finished);
      return ends;
    }
    case "bytes":
      return ["bytes", external.buffer];
  }
}

// ---- unpacking

class Group implements DisposalGroup {
  readonly #stubs: StubState[] = [];

  get isEmpty(): boolean {
    return this.#stubs.length === 0;
  }

  add(stub: object): object {
    const state = stubState(stub);
    if (state !== undefined) this.#stubs.push(state);
    return stub;
  }

  dispose(except?: ReadonlySet<StubState>): void {
    for (const state of this.#stubs.splice(0)) {
      if (except?.has(state) !== true) state.dispose();
    }
  }
}

export const EMPTY_GROUP: DisposalGroup = { isEmpty: true, dispose: () => {} };

/** The value of a payload that the host sent. Empty bytes mean `{}`. */
export function unpack(payload: Payload): Unpacked {
  const { bytes, attachments } = payload;
  if (attachments.length === 0) return { value: unpackBytes(bytes), group: EMPTY_GROUP };
  const group = new Group();
  const made = attachments.map((attachment) => group.add(receive(attachment)));
  try {
    return { value: decode(bytes, hostOf(made)), group };
  } catch (error) {
    group.dispose();
    throw error;
  }
}

function unpackBytes(bytes: Uint8Array, length = bytes.length): unknown {
  return length === 0 ? {} : decode(bytes, NOTHING_ATTACHED, length);
}

/** The value of a payload whose attachments are plain. */
export function unpackPlain(arrived: Arrived, attached: Attached): Unpacked {
  const bytes = typeof arrived === "number" ? arrivals : arrived;
  const length = typeof arrived === "number" ? arrived : arrived.length;
  if (attached === undefined) return { value: unpackBytes(bytes, length), group: EMPTY_GROUP };
  const group = new Group();
  const made: object[] = [];
  for (let i = 0; i < attached.length; i += 2) made.push(group.add(receivePlain(attached[i] as number, attached[i + 1] as number)));
  // One thing by itself, such as an object that a call gives.
  if (made.length === 1 && length === 2 && bytes[0] === Tag.External && bytes[1] === 0) {
    return { value: made[0], group };
  }
  try {
    return { value: decode(bytes, hostOf(made), length), group };
  } catch (error) {
    group.dispose();
    throw error;
  }
}

function receivePlain(place: number, id: number): object {
  const kind = PLAIN_KINDS[place];
  switch (kind) {
    case "object":
      return newStub(hold(id, kind));
    case "readable":
    case "writable":
      return receive([kind, id]);
    case "export":
    case undefined:
      throw new MalformedError("an attachment of another Worker");
    default:
      return receive(["cap", id, kind]);
  }
}

/** The value of a message that never left this Worker. */
export function unpackLocal(packed: Packed): Unpacked {
  const group = new Group();
  const made = packed.externals.map((external) => group.add(adopt(external)));
  for (const commit of packed.commits) commit();
  return { value: decode(packed.bytes, hostOf(made)), group };
}

function receive(attachment: Attachment): object {
  switch (attachment[0]) {
    case "cap": {
      const [, id, kind] = attachment;
      if (kind === "object") return newStub(hold(id, kind));
      if (kind === "actorClass") return newClass(hold(id, kind), "configured");
      return kind === "loader" ? newLoader(hold(id, kind)) : newService(hold(id, kind));
    }
    case "readable":
      return receiveReadable(attachment[1]);
    case "writable":
      return receiveWritable(attachment[1]);
    case "socket":
      return new GivenSocket(webSocketFromWire(attachment[1], attachment[2]));
    case "bytes":
      return attachment[1] instanceof ArrayBuffer ? attachment[1] : attachment[1].buffer;
    case "export":
    case "held":
    case "passed":
      throw new MalformedError(`an attachment "${attachment[0]}" of another Worker`);
  }
}

function adopt(external: External): object {
  switch (external.kind) {
    case "cap": {
      const cap = external.cap.retain();
      if (cap.kind === "object") return newStub(cap);
      if (cap.kind === "actorClass") return newClass(cap, "configured");
      return cap.kind === "loader" ? newLoader(cap) : newService(cap);
    }
    case "local":
      return newStub(external.target.retain());
    case "object":
      return newStub(new LocalTarget(external.object, external.reach, external.quiet).retain());
    case "readable":
    case "writable":
      return external.stream;
    case "socket":
      return external.given;
    case "bytes":
      return external.buffer;
  }
}

function hostOf(made: object[]): DecodeHost {
  return {
    external(index) {
      const object = made[index];
      if (object === undefined) throw new MalformedError("a reference to nothing attached");
      return object;
    },
    beside(index) {
      const buffer = made[index];
      if (!(buffer instanceof ArrayBuffer)) throw new MalformedError("a buffer that did not come");
      return buffer;
    },
    // The group owns every attachment already, the disposer's stub included.
    disposer: (index) => {
      if (made[index] === undefined) throw new MalformedError("a reference to nothing attached");
    },
    build: buildPlatform,
  };
}

const NOTHING_ATTACHED: DecodeHost = hostOf([]);
