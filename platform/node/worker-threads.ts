// node:worker_threads, as Workers have it: a Worker has one thread and can start no other.
//
// Invariant: what would start or reach another thread throws; message channels work.

import { MessageChannel, MessagePort } from "../web/message-channel.ts";
import { refusing, unimplemented } from "./checks.ts";
import { EventEmitter } from "./events.ts";

class BroadcastChannel {
  constructor() {
    throw unimplemented("BroadcastChannel");
  }
}

class Worker extends EventEmitter {
  constructor() {
    super();
    throw unimplemented("Worker");
  }

  async cpuUsage(): Promise<never> {
    throw unimplemented("Worker.cpuUsage");
  }
  postMessage(): void {}
  async postMessageToThread(): Promise<void> {}
  ref(): void {}
  unref(): void {}
  async terminate(): Promise<never> {
    throw unimplemented("Worker.terminate");
  }
  async getHeapSnapshot(): Promise<never> {
    throw unimplemented("Worker.getHeapSnapshot");
  }
  async getHeapStatistics(): Promise<never> {
    throw unimplemented("Worker.getHeapStatistics");
  }
  async startCpuProfile(): Promise<never> {
    throw unimplemented("Worker.startCpuProfile");
  }
  async startHeapProfile(): Promise<never> {
    throw unimplemented("Worker.startHeapProfile");
  }
  async [Symbol.asyncDispose](): Promise<void> {}
}

const environment = new Map<unknown, unknown>();

const members: Record<string, unknown> = {
  BroadcastChannel,
  MessageChannel,
  MessagePort,
  SHARE_ENV: Symbol.for("nodejs.worker_threads.SHARE_ENV"),
  Worker,
  getEnvironmentData: (key: unknown) => environment.get(key),
  isInternalThread: false,
  isMainThread: true,
  isMarkedAsUntransferable: () => false,
  markAsUncloneable: () => undefined,
  markAsUntransferable: () => undefined,
  moveMessagePortToContext: (port: unknown) => port,
  parentPort: null,
  postMessageToThread: refusing("postMessageToThread"),
  receiveMessageOnPort: () => undefined,
  resourceLimits: {},
  setEnvironmentData: (key: unknown, value: unknown) => void environment.set(key, value),
  threadId: 0,
  workerData: null,
};

export const workerThreadsModule: Record<string, unknown> = { ...members, default: members };
