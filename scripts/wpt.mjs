#!/usr/bin/env node
// Runs web-platform-tests against the built `mayfly`, and counts what passes.
//
//   WPT=<a folder with files of web-platform-tests> scripts/wpt [--failures] [--json FILE] [AREA or FILE...]
//
// The suite is not part of this project: WPT names a copy of it, of which the folders `resources`,
// `common`, `interfaces` and the areas below are used. Each `*.any.js` is joined with what it asks for
// and sent to the Worker `tests/workers/wpt`, which runs it as a dynamic Worker. What does not apply
// to a runtime without documents, origins and caches is listed in `tests/wpt-skipped.json`, with the
// reason; so are single tests.

import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, posix, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const AREAS = [
  "streams",
  "url",
  "urlpattern",
  "encoding",
  "compression",
  "dom/abort",
  "dom/events",
  "fetch/api",
  "fetch/data-urls",
  "FileAPI",
  "hr-time",
  "html/webappapis",
  "WebCryptoAPI",
  "websockets",
  "eventsource",
  "xhr/formdata",
];

/** Where the suite believes it is. */
const ORIGIN = "http://web-platform.test:8000";

/** How long one file may take, in milliseconds. */
const FILE_MAX = 60_000;

/** Where tests of something else look at a response's type, which tells of origins; Workers have none. */
const ORIGINS = /^\s*(?:assert_equals|assert_true)\(\w+\.type,? (?:===? )?"(?:basic|cors)".*$/gm;

/** Where idlharness asks what kind of global it runs in: a Worker counts as a worker. */
const EXPOSED = "if ('Window' in self) {";

/** How long its script may run before what it has counts. */
const SCRIPT_MAX = 40_000;

/** Files under way at once. */
const AT_ONCE = 2;

const project = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const suite = process.env.WPT;
const target = process.env.CARGO_TARGET_DIR ?? join(process.env.HOME ?? "", ".cache/mayfly/target");

const wanted = [];
let failuresShown = false;
let jsonFile;
for (let rest = process.argv.slice(2); rest.length > 0; ) {
  const word = rest.shift();
  if (word === "--failures") failuresShown = true;
  else if (word === "--json") jsonFile = rest.shift();
  else wanted.push(word);
}
if (suite === undefined || !existsSync(join(suite, "resources/testharness.js"))) {
  console.error("WPT names no folder with resources/testharness.js: fetch web-platform-tests aside first");
  process.exit(2);
}

const skips = JSON.parse(readFileSync(join(project, "tests/wpt-skipped.json"), "utf8"));

/** Files that the suite's own server has under another name. */
const ALIASES = { "resources/WebIDLParser.js": "resources/webidl2/lib/webidl2.js" };

function read(path) {
  return readFileSync(join(suite, ALIASES[path] ?? path), "utf8");
}

/** Every `*.any.js` under a folder of the suite. */
function filesUnder(folder) {
  if (!existsSync(join(suite, folder))) return [];
  if (statSync(join(suite, folder)).isFile()) return [folder];
  return readdirSync(join(suite, folder), { recursive: true })
    .map((name) => posix.join(folder, name.replaceAll("\\", "/")))
    .filter((name) => name.endsWith(".any.js"))
    .sort();
}

/** The reason why a file is left out, if it is. */
function skipped(path) {
  const rule = skips.files.find(({ path: prefix }) => path.startsWith(prefix));
  return rule?.reason;
}

/** The reason why one test of a file is left out. */
function skippedTest(path, name) {
  const rule = skips.tests.find((rule) => path.startsWith(rule.path) && new RegExp(rule.name).test(name));
  return rule?.reason;
}

function metaOf(source) {
  const meta = { scripts: [], variants: [], globals: undefined };
  for (const line of source.split("\n")) {
    const found = /^\/\/\s*META:\s*(\w+)=(.*)$/.exec(line.trim());
    if (found === null) {
      if (line.trim() !== "" && !line.startsWith("//")) break;
      continue;
    }
    const [, key, value] = found;
    if (key === "script") meta.scripts.push(value);
    if (key === "variant") meta.variants.push(value);
    if (key === "global") meta.globals = value.split(",");
  }
  return meta;
}

/** What the suite expects of its surroundings that a Worker does not have. */
function prelude(path, variant) {
  return `
    const __base = ${JSON.stringify(`${ORIGIN}/${path}${variant}`)};
    const __absolute = (input) => {
      if (typeof input !== "string" && !(input instanceof URL)) return input;
      try { return new URL(input, __base).href; } catch { return input; }
    };
    self.GLOBAL = { isWindow: () => false, isWorker: () => false, isShadowRealm: () => false };
    self.location = new URL(__base);
    // testharness.js would wait for the events of a browser's service worker.
    delete self.ServiceWorkerGlobalScope;
    delete self.WorkerGlobalScope;
    {
      const realFetch = self.fetch;
      self.fetch = function fetch(input, init) {
        return arguments.length === 0 ? realFetch() : realFetch(__absolute(input), init);
      };
      const { Request: R, EventSource: E, WebSocket: W } = self;
      const resolving = (C) => C && new Proxy(C, {
        construct: (target, args, newTarget) =>
          Reflect.construct(target, args.length === 0 ? args : [__absolute(args[0]), ...args.slice(1)], newTarget),
      });
      self.Request = resolving(R);
      R.prototype.constructor = self.Request;
      if (E) self.EventSource = resolving(E);
      // What is no URL to a browser is a path to it.
      if (W) {
        self.WebSocket = new Proxy(W, {
          construct: (target, args, newTarget) =>
            Reflect.construct(target, args.length === 0 ? args : [__absolute(String(args[0])), ...args.slice(1)], newTarget),
        });
        W.prototype.constructor = self.WebSocket;
      }
    }
  `;
}

const harness = read("resources/testharness.js");

/** Variables of the suite's server, as its templates would have them. */
function filled(text) {
  return text
    .replaceAll("{{ports[http][0]}}", "8000")
    .replaceAll("{{host}}", "web-platform.test")
    .replace(/\{\{[^}]*\}\}/g, "8001");
}

/** For idlharness: a Worker counts as a worker, and the objects under test come without `eval`. */
function exposure(source) {
  const objects = new Map();
  const blocks = source.matchAll(/add_objects\(\{([\s\S]*?)\}\s*\)\s*(?:;|\n|\})/g);
  const block = [...blocks].map((found) => found[1]).join("\n");
  for (const [, , text] of block.matchAll(/(['"`])((?:\\.|(?!\1)[^\\])*)\1/g)) {
    const expression = text.replace(/\\(['"`])/g, "$1");
    try {
      new Function(`return (${expression});`);
      objects.set(expression, expression);
    } catch {
      // Not an expression: a name of something else.
    }
  }
  const table = [...objects.keys()].map((text) => `[${JSON.stringify(text)}, () => (${text})]`);
  return `
    const __objects = new Map([${table.join(", ")}]);
  `;
}

function scriptOf(path, source, meta, variant) {
  const parts = [prelude(path, variant), harness];
  for (const script of meta.scripts) {
    const file = script.startsWith("/") ? script.slice(1) : posix.join(posix.dirname(path), script);
    parts.push(filled(read(file)));
    if (file === "resources/idlharness.js") parts.push(exposure(source));
  }
  const test = path.includes(".sub.") ? filled(source) : source;
  // A script that asks for strict mode gets it, although it is not the first of this function.
  const strict = /^(?:\s|\/\/.*\n|\/\*[\s\S]*?\*\/)*(['"])use strict\1/.test(test);
  parts.push(strict ? `(function () { "use strict"; ${test}\n})();` : test);
  // Libraries that look for a module system must find none, as in a classic script.
  return `module.exports = () => new Promise((__resolve) => ((module, exports, require, define) => {
    ${parts[0]}
    ${parts[1]}
    const __results = [];
    add_result_callback(({ name, status, message }) => __results.push({ name, status, message }));
    add_completion_callback((tests, status) => __resolve({ status: status.status, message: status.message, tests: __results }));
    setTimeout(() => __resolve({ status: 1, message: "it did not end in time", tests: __results }), ${SCRIPT_MAX});
    ${parts.slice(2).join("\n;\n").replace(ORIGINS, "").replace("obj = eval(desc)", "obj = __objects.get(desc)()").replace(EXPOSED, `if (globals.has("DedicatedWorker") || globals.has("Worker")) return true; ${EXPOSED}`)}
    if (typeof fetch_spec === "function") globalThis.fetch_spec = fetch_spec;
  })());`;
}

// ---- The suite's files, for the Worker that stands for its server ---------------------------------

const TYPES = { json: "application/json", js: "text/javascript", html: "text/html", txt: "text/plain", png: "image/png" };

const site = createServer((request, response) => {
  const path = decodeURIComponent(new URL(request.url, ORIGIN).pathname).slice(1);
  const file = join(suite, path);
  if (!file.startsWith(resolve(suite)) || !existsSync(file) || !statSync(file).isFile()) {
    response.writeHead(404).end();
    return;
  }
  const type = TYPES[path.slice(path.lastIndexOf(".") + 1)];
  response.writeHead(200, type === undefined ? {} : { "content-type": type }).end(readFileSync(file));
});

await new Promise((done) => site.listen(0, "127.0.0.1", done));
const sitePort = site.address().port;

// ---- Mayfly ---------------------------------------------------------------------------------------

const server = spawn(
  join(target, "release/mayfly"),
  ["serve", "--config", join(project, "tests/workers/wpt/wrangler.jsonc"), "--listen", "127.0.0.1:0", "--allow-egress", `127.0.0.1:${sitePort}`],
  { stdio: ["ignore", "pipe", "pipe"] },
);
process.on("exit", () => server.kill());
let printed = "";
const port = await new Promise((done, fail) => {
  const look = (chunk) => {
    printed += chunk;
    const found = /http:\/\/127\.0\.0\.1:(\d+)/.exec(printed);
    if (found !== null) done(found[1]);
  };
  server.stdout.on("data", look);
  server.stderr.on("data", look);
  server.on("exit", (code) => fail(new Error(`mayfly ended with ${code}:\n${printed}`)));
});

async function runFile(path, variant) {
  const source = read(path);
  let script;
  try {
    script = scriptOf(path, source, metaOf(source), variant);
  } catch (error) {
    return { error: String(error) };
  }
  const body = JSON.stringify({ script, site: `http://127.0.0.1:${sitePort}`, flags: ["pedantic_wpt"] });
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body, signal: AbortSignal.timeout(FILE_MAX) });
    const text = await answer.text();
    if (!answer.ok) return { error: text.slice(0, 300) };
    return JSON.parse(text);
  } catch (error) {
    return { error: String(error) };
  }
}

// ---- Counting -------------------------------------------------------------------------------------

const jobs = [];
const counts = new Map();
for (const area of wanted.length > 0 ? wanted : AREAS) {
  const count = { area, passed: 0, total: 0, skippedFiles: 0, skippedTests: 0, files: [] };
  counts.set(area, count);
  for (const path of filesUnder(area)) {
    const meta = metaOf(read(path));
    const reason = skipped(path);
    if (reason !== undefined) {
      count.skippedFiles += 1;
      continue;
    }
    for (const variant of meta.variants.length > 0 ? meta.variants : [""]) jobs.push({ count, path, variant });
  }
}

async function work() {
  for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
    const { count, path, variant } = job;
    const result = await runFile(path, variant);
    const failures = [];
    let passed = 0;
    let total = 0;
    for (const test of result.tests ?? []) {
      if (skippedTest(path, test.name) !== undefined) {
        count.skippedTests += 1;
        continue;
      }
      // 3 is a precondition that does not hold: the test does not apply.
      if (test.status === 3) continue;
      total += 1;
      if (test.status === 0) passed += 1;
      else failures.push(`${test.name}: ${test.message ?? ["", "failed", "timed out", "", "not run"][test.status]}`);
    }
    if (result.error !== undefined || result.status === 1) {
      total += 1;
      failures.push(`the file: ${result.error ?? result.message}`);
    }
    count.passed += passed;
    count.total += total;
    count.files.push({ path: path + variant, passed, total, failures });
    if (failuresShown && failures.length > 0) {
      console.log(`${path}${variant}: ${passed} of ${total}`);
      for (const failure of failures) console.log(`    ${failure.replaceAll("\n", " ").slice(0, 300)}`);
    }
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, work));

console.log("| area | passed | of | | files that do not apply |");
console.log("| --- | ---: | ---: | ---: | ---: |");
for (const { area, passed, total, skippedFiles } of counts.values()) {
  const share = total === 0 ? "" : `${((100 * passed) / total).toFixed(1)} %`;
  console.log(`| ${area} | ${passed} | ${total} | ${share} | ${skippedFiles} |`);
}
if (jsonFile !== undefined) writeFileSync(jsonFile, JSON.stringify([...counts.values()], null, 1));
server.kill();
site.close();
site.closeAllConnections();
