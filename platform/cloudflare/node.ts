// cloudflare:node: joins a Worker's events to the servers that node:http made.
//
// Invariant: a request reaches a server only by the port that the Worker itself named.

import { servers } from "../node/http/server.ts";

interface ServerLike {
  port?: unknown;
  listen?: () => unknown;
  address?: () => { port?: unknown } | null | undefined;
}

function requirePort(port: unknown): number {
  if (!Number.isFinite(port) || (port as number) < 0 || (port as number) > 65_535) throw new Error("Failed to determine port for server");
  return port as number;
}

/** The port of a number, of an object that has one, or of a server, which is made to listen. */
function portOf(target: unknown): number {
  if (typeof target === "number") return requirePort(target);
  if (target === null || target === undefined) throw new Error("Server descriptor cannot be null or undefined");
  const server = target as ServerLike;
  if (typeof server.port === "number" || typeof server.listen !== "function") return requirePort(server.port);
  if (typeof server.address?.()?.port !== "number") server.listen();
  return requirePort(server.address?.()?.port);
}

async function handleAsNodeRequest(target: unknown, request: unknown, env?: unknown, ctx?: unknown): Promise<unknown> {
  const port = requirePort(typeof target === "number" ? target : (target as ServerLike | undefined)?.port);
  const server = servers.get(port);
  if (server === undefined) {
    const message =
      `Http server with port ${port} not found. This is likely a bug with your code. ` +
      `You should check if server.listen() was called with the same port (${port})`;
    throw Object.assign(new Error(message), { code: "ERR_INVALID_ARG_VALUE" });
  }
  return server.fetch(request as never, env, ctx);
}

function httpServerHandler(target: unknown): object {
  const port = portOf(target);
  return { fetch: (request: unknown, env?: unknown, ctx?: unknown) => handleAsNodeRequest({ port }, request, env, ctx) };
}

const members = { handleAsNodeRequest, httpServerHandler };

export const cloudflareNode: Record<string, unknown> = { ...members, default: members };
