// node:inspector and node:inspector/promises, as Workers have them: there is no session to be had.
//
// Invariant: what would open or use a session throws; the console of an inspector writes nothing.

import { refusing, unimplemented } from "./checks.ts";
import { EventEmitter } from "./events.ts";

class Session extends EventEmitter {
  constructor() {
    super();
    throw unimplemented("Session");
  }
  connect(): never {
    throw unimplemented("Session.connect");
  }
  connectToMainThread(): never {
    throw unimplemented("Session.connectToMainThread");
  }
  disconnect(): never {
    throw unimplemented("Session.disconnect");
  }
  post(): never {
    throw unimplemented("Session.post");
  }
}

const SILENT =
  "debug error info log warn dir dirxml table trace group groupCollapsed groupEnd clear count countReset assert profile " +
  "profileEnd time timeLog timeStamp";

const NETWORK = [
  "requestWillBeSent", "dataReceived", "dataSent", "responseReceived", "loadingFinished", "loadingFailed", "webSocketCreated",
  "webSocketHandshakeResponseReceived", "webSocketClosed",
];

const shared = {
  Network: Object.fromEntries(NETWORK.map((name) => [name, refusing(`Network.${name}`)])),
  Session,
  console: Object.fromEntries(SILENT.split(" ").map((name) => [name, () => undefined])),
};

const members: Record<string, unknown> = {
  ...shared,
  close: () => undefined,
  open: () => ({ [Symbol.dispose]: () => Promise.resolve() }),
  url: () => undefined,
  waitForDebugger: () => undefined,
};

const promises: Record<string, unknown> = {
  ...shared,
  close: refusing("close"),
  open: refusing("open"),
  url: refusing("url"),
  waitForDebugger: refusing("waitForDebugger"),
};

export const inspectorModule: Record<string, unknown> = { ...members, default: members };
export const inspectorPromisesModule: Record<string, unknown> = { ...promises, default: promises };
