// Agents of node:http and node:https. Connections are the platform's: an agent names and counts
// nothing here, but says which protocol and port a request has.
//
// Invariant: options are kept as they were given, for packages that read them.

import { checkOneOf, refusing } from "../checks.ts";
import { outOfRange, requireNumber } from "../errors.ts";
import { EventEmitter } from "../events.ts";

export type AgentOptions = Record<string, unknown>;

export class Agent extends EventEmitter {
  static defaultMaxSockets = Infinity;

  readonly options: AgentOptions;
  defaultPort: number;
  protocol: string;
  keepAliveMsecs: unknown;
  keepAlive: unknown;
  maxSockets: unknown;
  maxFreeSockets: unknown;
  maxTotalSockets: number;
  scheduling: unknown;
  totalSocketCount = 0;
  requests: object = Object.create(null) as object;
  sockets: object = Object.create(null) as object;
  freeSockets: object = Object.create(null) as object;

  constructor(given?: AgentOptions) {
    super({});
    const options: AgentOptions = Object.assign(Object.create(null) as AgentOptions, given);
    this.options = options;
    this.defaultPort = (options["defaultPort"] as number | undefined) || 80;
    this.protocol = (options["protocol"] as string | undefined) || "http:";
    options["path"] = null;
    if (!("proxyEnv" in options)) options["proxyEnv"] = undefined;
    if (options["noDelay"] === undefined) options["noDelay"] = true;
    this.keepAliveMsecs = options["keepAliveMsecs"] || 1000;
    this.keepAlive = options["keepAlive"] || false;
    this.maxSockets = options["maxSockets"] || Agent.defaultMaxSockets;
    this.maxFreeSockets = options["maxFreeSockets"] || 256;
    this.scheduling = options["scheduling"] || "lifo";
    checkOneOf(this.scheduling as string, "scheduling", ["fifo", "lifo"]);
    const { maxTotalSockets } = options;
    this.maxTotalSockets = Infinity;
    if (maxTotalSockets !== undefined) {
      this.maxTotalSockets = requireNumber(maxTotalSockets, "maxTotalSockets");
      if (!(this.maxTotalSockets >= 1)) throw outOfRange("maxTotalSockets", ">= 1", maxTotalSockets);
    }
  }

  createConnection(): never {
    return refusing("createConnection")();
  }

  getName(options: Record<string, unknown> = {}): string {
    const { host, port, localAddress, family, socketPath } = options;
    let name = `${String(host || "localhost")}:${port ? String(port) : ""}:${localAddress ? String(localAddress) : ""}`;
    if (family === 4 || family === 6) name += `:${family}`;
    if (socketPath) name += `:${String(socketPath)}`;
    return name;
  }

  addRequest(): void {}
  createSocket(): void {}
  removeSocket(): void {}
  keepSocketAlive(): boolean {
    return false;
  }
  reuseSocket(): void {}
  destroy(): void {}
}

const TLS_PARTS = [
  "ca", "cert", "clientCertEngine", "ciphers", "key", "pfx", "rejectUnauthorized", "servername", "minVersion", "maxVersion",
  "secureProtocol", "crl", "honorCipherOrder", "ecdhCurve", "dhparam", "secureOptions", "sessionIdContext", "sigalgs",
  "privateKeyIdentifier", "privateKeyEngine",
];
/** Parts that count even where they are falsy. */
const TOLD = new Set(["rejectUnauthorized", "honorCipherOrder", "secureOptions"]);

export class HttpsAgent extends Agent {
  maxCachedSessions = 100;

  constructor(options?: AgentOptions) {
    super({ ...options, defaultPort: options?.["defaultPort"] ?? 443, protocol: options?.["protocol"] ?? "https:" });
  }

  override getName(options: Record<string, unknown> = {}): string {
    const parts = TLS_PARTS.map((name) => {
      const value = options[name];
      if (name === "servername" && value === options["host"]) return "";
      if (TOLD.has(name) ? value === undefined : !value) return "";
      return name === "sigalgs" ? JSON.stringify(value) : String(value);
    });
    return [super.getName(options), ...parts].join(":");
  }
}

const USUAL = { keepAlive: true, scheduling: "lifo", timeout: 5000 };
export const globalAgent: Agent = new Agent(USUAL);
export const globalHttpsAgent: HttpsAgent = new HttpsAgent(USUAL);
