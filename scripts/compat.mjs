// Writes docs/compat.md: what there is of the types that Workers are written against.
//
//   node scripts/compat.mjs           write it
//   node scripts/compat.mjs --check   for CI: fail where it promises what is not there or has no reason for
//                                     what is absent; say where more is there than it knows
//
// The types are those of @cloudflare/workers-types, read with the TypeScript compiler; what there is is
// what a running Worker (tests/workers/compat) sees. Whatever is absent needs its reason below, and so
// does what is there in part: a reason that is not needed any more is an error too.

import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const TYPES_VERSION = "5.20261117.1";
const COMPILER_VERSION = "5.9.3";

/** What belongs to a product that is bound to a Worker, by the beginning of its name. */
const PRODUCTS = [
  "Agent", "Ai", "Analytics", "Artifacts", "AutoRAG", "BaseAi", "Base_Ai", "BrowserRun", "CloudflareAccess", "ColoLocal",
  "Container", "D1", "DispatchNamespace", "DurableObject", "DynamicDispatch", "Email", "ExecOutput", "ExecProcess",
  "Facet", "Flagship", "ForwardableEmail", "HelloWorld", "HostedImages", "Hyperdrive", "Image", "Images", "KVNamespace",
  "LoopbackColo", "LoopbackDurable", "Media", "MessageBatch", "MessageSend", "PubSub", "Queue", "R2", "RateLimit",
  "SecretsStore", "SendEmail", "SqlStorage", "Stream", "SyncKv", "ToMarkdown", "Vectorize", "WebSearch", "Workflow",
];

/** Of products, what is here: what a binding is and what it gives. */
const BOUND = ["D1Database", "D1DatabaseSession", "D1PreparedStatement", "KVNamespace", "R2Bucket", "R2Object", "R2ObjectBody", "R2MultipartUpload", "R2Checksums"];

/** Interfaces that a Worker meets as objects; all others only describe what it passes or gets. */
const OBJECTS = [
  ...BOUND,
  "Console", "Scheduler", "Cloudflare", "ExecutionContext", "WorkerLoader", "WorkerStub", "Element", "EndTag", "Comment",
  "Text", "Doctype", "DocumentEnd", "Socket", "EventCounts", "DigestStream", "Span",
];

/** Why something is not there, or not whole: `Global` or `Global.member`. */
const REASONS = JSON.parse(readFileSync(new URL("compat-reasons.json", import.meta.url), "utf8"));

const project = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const target = process.env.CARGO_TARGET_DIR ?? join(process.env.HOME ?? "", ".cache/mayfly/target");
const tools = join(target, "compat-tools");
const document = join(project, "docs/compat.md");

function install() {
  const marker = join(tools, `done-${TYPES_VERSION}-${COMPILER_VERSION}`);
  if (existsSync(marker)) return;
  mkdirSync(tools, { recursive: true });
  writeFileSync(join(tools, "package.json"), "{}");
  const packages = [`@cloudflare/workers-types@${TYPES_VERSION}`, `typescript@${COMPILER_VERSION}`];
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", tools, ...packages], { stdio: "ignore" });
  writeFileSync(marker, "");
}

install();
const require = createRequire(join(tools, "package.json"));
const ts = require("typescript");

const isProduct = (name) => !BOUND.includes(name) && PRODUCTS.some((prefix) => name.startsWith(prefix));

// ---- The types -------------------------------------------------------------------------------------

const source = ts.createSourceFile(
  "index.d.ts",
  readFileSync(join(tools, "node_modules/@cloudflare/workers-types/index.d.ts"), "utf8"),
  ts.ScriptTarget.Latest,
);

/** By name: what an object has, what the constructor has, and whom it extends. */
const types = new Map();
const globals = new Set();

function typeNamed(name) {
  if (!types.has(name)) types.set(name, { members: new Set(), statics: new Set(), isClass: false, parents: new Set() });
  return types.get(name);
}

function nameOf(member) {
  const { name } = member;
  if (name === undefined) return undefined;
  if (ts.isComputedPropertyName(name)) {
    const text = name.expression.getText(source);
    return text.startsWith("Symbol.") ? `[${text}]` : undefined;
  }
  return name.text ?? name.getText(source);
}

function addMembers(members, type, prefix) {
  for (const member of members) {
    const name = nameOf(member);
    if (name === undefined || name === "prototype" || name.startsWith("__")) continue;
    const flags = ts.getCombinedModifierFlags(member);
    if (flags & ts.ModifierFlags.Private) continue;
    (flags & ts.ModifierFlags.Static || prefix === "static" ? type.statics : type.members).add(name);
  }
}

function parentsOf(node) {
  return (node.heritageClauses ?? []).flatMap((clause) => clause.types.map((type) => type.expression.getText(source)));
}

function visit(nodes, scope) {
  for (const node of nodes) {
    if (ts.isClassDeclaration(node) || ts.isInterfaceDeclaration(node)) {
      const type = typeNamed(scope + node.name.text);
      addMembers(node.members, type, "");
      parentsOf(node).forEach((parent) => type.parents.add(parent));
      if (ts.isClassDeclaration(node)) type.isClass = true;
    } else if (ts.isVariableStatement(node)) {
      for (const { name, type } of node.declarationList.declarations) {
        globals.add(scope + name.text);
        if (type !== undefined && ts.isTypeLiteralNode(type)) {
          const own = typeNamed(scope + name.text);
          own.isClass = true;
          addMembers(type.members, own, "static");
        }
      }
    } else if (ts.isFunctionDeclaration(node) && node.name !== undefined) {
      globals.add(scope + node.name.text);
    } else if (ts.isModuleDeclaration(node) && ts.isIdentifier(node.name) && node.name.text === "WebAssembly") {
      visit(node.body.statements, "WebAssembly.");
    }
  }
}

visit(source.statements, "");
const scope = typeNamed("ServiceWorkerGlobalScope").members;
for (const name of scope) globals.add(name);
// A class that the scope does not list is only a name for what is made elsewhere.
for (const [name, type] of types) {
  if (!type.isClass) continue;
  if (scope.has(name) || name.includes(".") || name === "WorkerGlobalScope" || isProduct(name)) globals.add(name);
  else if (!OBJECTS.includes(name)) globals.delete(name);
}
// The language's own, and handlers that a Worker sets and nobody reads.
["onmessage"].forEach((name) => globals.delete(name));


// ---- What there is ---------------------------------------------------------------------------------

async function ask() {
  const server = spawn(join(target, "release/mayfly"), [
    "serve", "--config", join(project, "tests/workers/compat/wrangler.jsonc"), "--ephemeral", "--listen", "127.0.0.1:0",
  ]);
  try {
    let printed = "";
    const port = await new Promise((done, fail) => {
      const look = (chunk) => {
        printed += chunk;
        const found = /http:\/\/127\.0\.0\.1:(\d+)/.exec(printed);
        if (found !== null) done(found[1]);
      };
      server.stdout.on("data", look);
      server.stderr.on("data", look);
      server.on("exit", () => fail(new Error(`mayfly ended:\n${printed}`)));
    });
    const body = JSON.stringify({ globals: [...globals] });
    const answer = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body });
    if (!answer.ok) throw new Error(await answer.text());
    return await answer.json();
  } finally {
    server.kill();
  }
}

const found = await ask();

// ---- Comparing -------------------------------------------------------------------------------------

const unused = new Set(Object.keys(REASONS));
const missingReasons = [];

function stateOf(key, isThere) {
  const reason = REASONS[key];
  if (reason === undefined) {
    if (isThere) return { state: "done" };
    missingReasons.push(key);
    return { state: "absent", reason: "?" };
  }
  unused.delete(key);
  if (!isThere) return { state: "absent", reason };
  if (reason.startsWith("partial: ")) return { state: "partial", reason: reason.slice("partial: ".length) };
  unused.add(key);
  return { state: "done" };
}

const rows = [];
for (const name of [...new Set([...globals, ...OBJECTS])].sort()) {
  const type = types.get(name);
  const isObject = OBJECTS.includes(name);
  const product = isProduct(name);
  const has = isObject && !globals.has(name) ? found.instances[name] !== undefined : found.globals[name] === true;
  if (product) {
    // What types call a class is there only as what a binding gives.
    const members = type === undefined ? 1 : type.members.size;
    rows.push({ name, product: true, count: Math.max(members, 1) });
    continue;
  }
  const whole = REASONS[name] !== undefined && !has;
  const own = stateOf(name, has);
  const members = [];
  if (type !== undefined && !whole) {
    const there = new Set(found.instances[name] ?? []);
    const statics = new Set(found.statics[name] ?? []);
    for (const member of type.members) members.push({ name: member, ...stateOf(`${name}.${member}`, there.has(member)) });
    for (const member of type.statics) {
      members.push({ name: `${name}.${member}`, ...stateOf(`${name}::${member}`, statics.has(member)) });
    }
  } else if (type !== undefined) {
    for (const member of [...type.members, ...type.statics]) members.push({ name: member, state: "absent", reason: own.reason });
  }
  rows.push({ name, product: false, ...own, members });
}

const checking = process.argv.includes("--check");
for (const key of missingReasons) console.error(`no reason: ${key}`);
for (const key of unused) console.error(`a reason without need: ${key}`);
if (missingReasons.length > 0 && !process.argv.includes("--draft")) process.exit(1);
if (unused.size > 0 && !checking && !process.argv.includes("--draft")) process.exit(1);

// ---- Writing ---------------------------------------------------------------------------------------

const counted = rows.filter((row) => !row.product).flatMap((row) => [row, ...row.members]);
const count = (state) => counted.filter((item) => item.state === state).length;
const [done, partial, absent] = ["done", "partial", "absent"].map(count);
const share = ((100 * done) / counted.length).toFixed(1);
const products = rows.filter((row) => row.product);
const shapes = [...types.keys()].filter((name) => !name.includes(".") && !globals.has(name) && !OBJECTS.includes(name));

const lines = [
  "# What there is of the Workers types",
  "",
  `Written by \`node scripts/compat.mjs\` from @cloudflare/workers-types ${TYPES_VERSION} and a running Worker; never by`,
  "hand. *Done* means that the global or member is there; whether it does what it should is for the tests of",
  "[conformance.md](conformance.md) to say.",
  "",
  `Of ${counted.length} globals and members that belong to no product without a binding here ${done} are done (${share} %), ${partial} partial, ${absent} absent.`,
  `${products.length} further classes belong to products that Workers are bound to and that are not here, or are made by their bindings, and ${shapes.length} types`,
  "only describe values that are passed or returned.",
  "",
  "## Absent or partial",
  "",
  "| what | state | why |",
  "| --- | --- | --- |",
];
for (const row of rows) {
  if (row.product) continue;
  if (row.state !== "done") lines.push(`| \`${row.name}\` | ${row.state} | ${row.reason} |`);
  if (row.state === "absent") continue;
  for (const member of row.members) {
    const name = member.name.includes(".") ? member.name : `${row.name}.${member.name}`;
    if (member.state !== "done") lines.push(`| \`${name}\` | ${member.state} | ${member.reason} |`);
  }
}
lines.push("", "## Done", "", "| global | members |", "| --- | --- |");
for (const row of rows) {
  if (row.product || row.state === "absent") continue;
  const names = row.members.filter((member) => member.state === "done").map((member) => member.name);
  lines.push(`| \`${row.name}\` | ${names.length === 0 ? "" : `\`${names.join("` `")}\``} |`);
}
lines.push("", "## Of binding products", "", products.map((row) => `\`${row.name}\``).join(" "), "");
const text = lines.join("\n");

console.log(`${done} of ${counted.length} done (${share} %), ${partial} partial, ${absent} absent`);
if (checking) {
  if (!existsSync(document) || readFileSync(document, "utf8") !== text) {
    console.log("docs/compat.md is behind: write it with `node scripts/compat.mjs`");
  }
} else {
  writeFileSync(document, text);
}
