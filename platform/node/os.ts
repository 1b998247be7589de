// node:os: what a Worker is told of the machine, which is nothing that differs from one to the next.
//
// Invariant: no value tells one host from another.

import { Buffer } from "./buffer.ts";
import { invalidArgValue, requireNumber, requireObject } from "./errors.ts";
import { dlopenConstants, errnoConstants, priorityConstants, signalConstants } from "./os-constants.ts";

/** Where `/tmp` is; there is no home but that. */
const TEMPORARY = "/tmp/";

function userInfo(options: unknown = {}): object {
  const { encoding = null } = requireObject(options, "options");
  if (encoding !== null && encoding !== "buffer" && !Buffer.isEncoding(encoding)) {
    throw invalidArgValue("options.encoding", encoding, "must be a valid encoding");
  }
  return {};
}

const constants = Object.assign(Object.create(null) as object, {
  UV_UDP_REUSEADDR: 4,
  dlopen: dlopenConstants,
  errno: errnoConstants,
  signals: signalConstants,
  priority: priorityConstants,
});

const members: Record<string, unknown> = {
  EOL: "\n",
  arch: () => "x64",
  availableParallelism: () => 1,
  constants,
  cpus: () => [],
  devNull: "/dev/null",
  endianness: () => "LE",
  freemem: () => 0,
  getPriority(pid?: unknown): number {
    if (pid !== undefined) requireNumber(pid, "pid");
    return 0;
  },
  homedir: () => TEMPORARY,
  hostname: () => "localhost",
  loadavg: () => [0, 0, 0],
  machine: () => "x86_64",
  networkInterfaces: () => ({}),
  platform: () => "linux",
  release: () => "",
  setPriority(pid: unknown, priority: unknown): void {
    requireNumber(pid, "pid");
    requireNumber(priority, "priority");
  },
  tmpdir: () => TEMPORARY,
  totalmem: () => 0,
  type: () => "Linux",
  uptime: () => 0,
  userInfo,
  version: () => "",
};

export const osModule: Record<string, unknown> = { ...members, default: members };
