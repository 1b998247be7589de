#!/usr/bin/env node
// Builds a guest whose platform has what a Worker needs to answer a request and no more, to measure what
// the rest of the web platform costs a start:
//
//   scripts/bare-guest.mjs FOLDER
//   mayfly-bench guests FOLDER/target/release/mayfly-guest
//
// FOLDER gets a copy of what is committed, and `CUTS` are taken out of it: modules that nothing evaluates are not in
// the zygote's heap. A cut that finds nothing is an error, so that the list stays true.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** What goes, by file below `platform/`: names that are imported, or lines. */
const CUTS = {
  "boot.ts": {
    names: ["isWebSocket"],
    lines: [
      /^import \{ globals as cacheGlobals \}.*$/m,
      /^import "\.\/cloudflare\/(?:kv|queue-binding|r2|rate-limit)\.ts";$/gm,
      /^defineGlobals\(cacheGlobals\);$/m,
      /^setWebSocketCheck\(isWebSocket\);$/m,
    ],
  },
  "modules/builtins.ts": {
    names: ["sockets", "bufferModule", "eventsModule", "timersModule, timersPromisesModule", "assertModule, assertStrictModule"],
    lines: [
      /^ {2}\["cloudflare:sockets", sockets\],$/m,
      /^ {2}\["node:(?:assert|assert\/strict|buffer|events|timers|timers\/promises)", .*$/gm,
    ],
  },
  "web/globals-fetch.ts": {
    names: [
      "Crypto, CryptoKey, SubtleCrypto, crypto", "EventSource", "HTMLRewriter", "Navigator, navigator", "scheduler",
      "structuredClone", "URLPattern", "WebSocket, WebSocketPair", "WebSocketRequestResponsePair",
    ],
    lines: [
      /^ {2}(?:Crypto|CryptoKey|SubtleCrypto|crypto|EventSource|HTMLRewriter|Navigator|navigator|scheduler|structuredClone),$/gm,
      /^ {2}(?:URLPattern|WebSocket|WebSocketPair|WebSocketRequestResponsePair),$/gm,
    ],
  },
  "web/globals-streams.ts": {
    names: [
      "CompressionStream, DecompressionStream", "TextDecoderStream, TextEncoderStream", "MessageChannel, MessagePort",
      "Performance, PerformanceEntry, PerformanceMark, PerformanceMeasure, PerformanceResourceTiming, performance",
      "PerformanceObserver, PerformanceObserverEntryList",
    ],
    lines: [
      /\bCompressionStream, DecompressionStream, (?=IdentityTransformStream\])/,
      /^ {2}(?:CompressionStream|DecompressionStream|TextDecoderStream|TextEncoderStream|MessageChannel|MessagePort),$/gm,
      /^ {2}(?:Performance\w*|performance),$/gm,
    ],
  },
};

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const given = process.argv[2];
if (given === undefined) {
  console.error("usage: scripts/bare-guest.mjs FOLDER");
  process.exit(2);
}
const folder = resolve(given);
mkdirSync(folder, { recursive: true });
execFileSync("tar", ["-x", "-C", folder], { input: execFileSync("git", ["archive", "HEAD"], { cwd: root, maxBuffer: 2 ** 30 }) });
for (const [name, { names, lines }] of Object.entries(CUTS)) {
  const file = join(folder, "platform", name);
  const imports = names.map((list) => new RegExp(`^import \\{ ${list} \\} from .*$`, "m"));
  let text = readFileSync(file, "utf8");
  for (const cut of [...imports, ...lines]) {
    const rest = text.replace(cut, "");
    if (rest === text) throw new Error(`platform/${name} has nothing like ${cut}: bring CUTS of this script up to date`);
    text = rest;
  }
  writeFileSync(file, text);
}
const target = join(folder, "target");
execFileSync("cargo", ["build", "--release", "--locked", "-p", "mayfly-guest"], {
  cwd: folder,
  env: { ...process.env, CARGO_TARGET_DIR: target },
  stdio: "inherit",
});
console.log(join(target, "release/mayfly-guest"));
