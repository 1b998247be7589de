// The modules of Node.js beside crypto, streams and files: util, http, net, tls, dns, process and those
// that exist by name.

import { httpServerHandler } from "cloudflare:node";
import assert from "node:assert";
import asyncHooks from "node:async_hooks";
import childProcess from "node:child_process";
import diagnostics from "node:diagnostics_channel";
import dns from "node:dns";
import events from "node:events";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import net from "node:net";
import { performance as hooked } from "node:perf_hooks";
import process from "node:process";
import { mock } from "node:test";
import tls from "node:tls";
import url from "node:url";
import util from "node:util";
import vm from "node:vm";
import { Worker, isMainThread } from "node:worker_threads";
import zlib from "node:zlib";
import { WorkerEntrypoint } from "cloudflare:workers";
import { equal, fails, matches, same, sleep, suite } from "../kit/suite.js";

const ZIPPED = "words that repeat, ".repeat(200);

const server = http.createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  if (request.url === "/fails") throw new Error("on purpose");
  if (request.url === "/slow") {
    response.writeHead(200, "Fine", { "x-kind": "slow" });
    response.write("one ");
    await sleep(5);
    response.end("two");
    return;
  }
  response.setHeader("set-cookie", ["a=1", "b=2"]);
  response.setHeader("x-method", request.method);
  response.statusCode = 201;
  response.end(`${request.url} ${request.headers["x-sent"]} ${body}`);
});
const served = httpServerHandler(server);

/** What `SELF` reaches: the server of node:http. */
export class Served extends WorkerEntrypoint {
  fetch(request) {
    return served.fetch(request, this.env, this.ctx);
  }
}

let env;

const cases = {
  // ---- util

  async promisify_and_callbackify_are_opposites() {
    const add = (a, b, done) => done(a < 0 ? new Error("negative") : null, a + b);
    equal(await util.promisify(add)(1, 2), 3);
    await fails(() => util.promisify(add)(-1, 2), { message: /negative/ });
    const back = util.callbackify(async (value) => value * 2);
    equal(await new Promise((resolve) => back(21, (_, value) => resolve(value))), 42);
    const failing = util.callbackify(() => Promise.reject(null));
    equal((await new Promise((resolve) => failing(resolve))).code, "ERR_FALSY_VALUE_REJECTION");
    equal(util.promisify(util.promisify(add)) === util.promisify(add), false);
    equal((await fails(() => util.promisify(1))).code, "ERR_INVALID_ARG_TYPE");
  },

  inspect_marks_kinds_and_keeps_its_options() {
    const value = { n: 1, s: "x", [Symbol("k")]: null, list: [undefined, , true] };
    equal(
      util.inspect(value, { colors: true }),
      "{\n  n: \x1b[33m1\x1b[39m,\n  s: \x1b[32m'x'\x1b[39m,\n" +
        "  list: [ \x1b[90mundefined\x1b[39m, \x1b[90m<1 empty item>\x1b[39m, \x1b[33mtrue\x1b[39m ],\n" +
        "  \x1b[32mSymbol(k)\x1b[39m: \x1b[1mnull\x1b[22m\n}",
    );
    equal(util.inspect({ b: 1, a: 2 }, { sorted: true }), "{ a: 2, b: 1 }");
    equal(util.inspect({ b: 1, a: 2 }, { compact: false }), "{\n  b: 1,\n  a: 2\n}");
    equal(util.inspect([1234567, -1234.56789, 1234567n], { numericSeparator: true }), "[ 1_234_567, -1_234.567_89, 1_234_567n ]");
    equal(util.inspect([1, 2], { showHidden: true }), "[ 1, 2, [length]: 2 ]");
    equal(util.inspect({ get a() { return 1; }, set b(value) {} }, { getters: true }), "{ a: [Getter: 1], b: [Setter] }");
    equal(util.inspect("abcdef", { maxStringLength: 3 }), "'abc'... 3 more characters");
    equal(util.inspect({ [util.inspect.custom]: (depth, options) => options.stylize(`at ${depth}`, "number") }, { depth: null, colors: true }), "\x1b[33mat null\x1b[39m");
    equal(util.formatWithOptions({ colors: true }, "%s %O", { a: {} }, 1), "{ a: {} } \x1b[33m1\x1b[39m");
  },

  async arguments_are_parsed_as_documented() {
    const options = { foo: { type: "boolean", short: "f" }, bar: { type: "string", short: "b", multiple: true, default: ["x"] } };
    const parse = (args, more) => util.parseArgs({ args, options, ...more });
    same(parse(["-f", "--bar", "b", "--bar=c"]).values, { foo: true, bar: ["b", "c"] });
    same(parse([]).values, { bar: ["x"] });
    same(parse(["-fbz"]).values, { foo: true, bar: ["z"] });
    same(parse(["a", "--", "-f"], { allowPositionals: true }).positionals, ["a", "-f"]);
    same(parse(["--no-foo"], { allowNegative: true }).values, { foo: false, bar: ["x"] });
    same(parse(["-f", "p"], { allowPositionals: true, tokens: true }).tokens.map(({ kind, index }) => [kind, index]), [["option", 0], ["positional", 1]]);
    same(parse(["--other=1"], { strict: false }).values, { other: "1", bar: ["x"] });
    equal((await fails(() => parse(["--other"]))).code, "ERR_PARSE_ARGS_UNKNOWN_OPTION");
    equal((await fails(() => parse(["--foo=1"]))).code, "ERR_PARSE_ARGS_INVALID_OPTION_VALUE");
    equal((await fails(() => parse(["a"]))).code, "ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL");
  },

  async the_small_parts_of_util_work() {
    same(util.parseEnv("A=1\nexport B = 'two' # no\n# C=3\nD=\"x\\ny\""), { A: "1", B: "two", D: "x\ny" });
    equal(util.styleText("red", "text", { validateStream: false }), "\u001b[31mtext\u001b[39m");
    equal(util.styleText("red", "text"), "text");
    equal(util.stripVTControlCharacters("\u001b[31mtext\u001b[39m"), "text");
    const type = new util.MIMEType("Text/HTML; Charset=\"utf-8\"");
    equal(String(type), "text/html;charset=utf-8");
    type.params.set("q", "a b");
    equal(String(type), "text/html;charset=utf-8; q=\"a b\"");
    await fails(() => new util.MIMEType("nonsense"), { name: "TypeError" });
    equal(util.getSystemErrorName(-2), "ENOENT");
    equal(util.getSystemErrorMap().get(-111)[0], "ECONNREFUSED");
    equal(util.types.isKeyObject({}), false);
    equal(util.isDeepStrictEqual(new Map([[1, { a: [2] }]]), new Map([[1, { a: [2] }]])), true);
    equal(util.inspect.defaultOptions.depth, 2);
    equal(util.getCallSites()[0].scriptName.endsWith("index.js"), true);
    const controller = new AbortController();
    const aborted = util.aborted(controller.signal, {});
    controller.abort();
    await aborted;
  },

  // ---- Channels and hooks

  async channels_carry_messages_and_traces() {
    const heard = [];
    const channel = diagnostics.channel("case");
    const subscriber = (message, name) => heard.push([message, name]);
    diagnostics.subscribe("case", subscriber);
    channel.publish(1);
    equal(diagnostics.hasSubscribers("case"), true);
    equal(channel.hasSubscribers, true);
    equal(diagnostics.unsubscribe("case", subscriber), true);
    channel.publish(2);
    same(heard, [[1, "case"]]);
    const tracing = diagnostics.tracingChannel("work");
    const events = [];
    tracing.subscribe(Object.fromEntries(["start", "end", "asyncStart", "asyncEnd", "error"].map((name) => [name, () => events.push(name)])));
    equal(tracing.traceSync((a) => a + 1, {}, null, 1), 2);
    await tracing.tracePromise(async () => {}, {});
    await fails(() => tracing.traceSync(() => { throw new Error("traced"); }), { message: /traced/ });
    await new Promise((resolve) => tracing.traceCallback((done) => done(null, 1), 0, {}, null, resolve));
    same(events, ["start", "end", "start", "end", "asyncStart", "asyncEnd", "start", "error", "end", "start", "asyncStart", "asyncEnd", "end"]);
  },

  async a_bound_store_holds_the_message() {
    const store = new asyncHooks.AsyncLocalStorage();
    const channel = diagnostics.channel("stored");
    channel.bindStore(store, (data) => data.id);
    equal(channel.runStores({ id: 7 }, () => store.getStore()), 7);
    equal(store.getStore(), undefined);
    equal(channel.unbindStore(store), true);
    equal(asyncHooks.executionAsyncId(), 0);
    equal(typeof asyncHooks.createHook({}).enable, "function");
  },

  // ---- http

  async a_server_of_node_answers_events() {
    const response = await env.SELF.fetch("http://any/path?q=1", { method: "PUT", body: "a body", headers: { "x-sent": "yes" } });
    same([response.status, response.statusText], [201, "Created"]);
    equal(await response.text(), "/path?q=1 yes a body");
    same(response.headers.getSetCookie(), ["a=1", "b=2"]);
    equal(response.headers.get("x-method"), "PUT");
    const slow = await env.SELF.fetch("http://any/slow");
    same([slow.status, slow.statusText, slow.headers.get("x-kind"), await slow.text()], [200, "Fine", "slow", "one two"]);
    const head = await env.SELF.fetch("http://any/head", { method: "HEAD" });
    same([head.status, await head.text()], [201, ""]);
  },

  async servers_have_ports() {
    equal(typeof server.address().port, "number");
    const other = http.createServer();
    other.listen(4321);
    equal(other.address().port, 4321);
    await fails(() => http.createServer().listen(4321), { message: /Listen method has been called more than once/ });
    await new Promise((resolve) => other.close(resolve));
    equal(other.listening, false);
    equal((await fails(() => httpServerHandler({ port: 4321 }).fetch(new Request("http://a/")))).code, "ERR_INVALID_ARG_VALUE");
  },

  async messages_keep_the_rules_of_headers() {
    const message = new http.OutgoingMessage();
    message.setHeader("X-One", "1").appendHeader("x-one", "2");
    same(message.getHeaders(), { "x-one": ["1", "2"] });
    same(message.getRawHeaderNames(), ["X-One"]);
    message.removeHeader("X-ONE");
    equal(message.hasHeader("x-one"), false);
    equal((await fails(() => message.setHeader("bad name", "1"))).code, "ERR_INVALID_HTTP_TOKEN");
    equal((await fails(() => message.setHeader("a", "b\r\nc: d"))).code, "ERR_INVALID_CHAR");
    equal((await fails(() => message.setHeader("a"))).code, "ERR_HTTP_INVALID_HEADER_VALUE");
    equal(http.STATUS_CODES[418], "I'm a Teapot");
    equal(http.METHODS.includes("PATCH"), true);
  },

  async a_client_never_leaves_its_host() {
    for (const path of ["http://evil.test/", "//evil.test/x", "\\\\evil.test/x", "/\\evil.test"]) {
      equal((await fails(() => http.request({ host: "good.test", path }))).code, "ERR_INVALID_ARG_VALUE", path);
    }
    equal((await fails(() => http.request({ path: "/a b" }))).code, "ERR_UNESCAPED_CHARACTERS");
    equal((await fails(() => http.request({ protocol: "ftp:" }))).code, "ERR_INVALID_PROTOCOL");
    equal((await fails(() => http.request({ method: "A B" }))).code, "ERR_INVALID_HTTP_TOKEN");
    equal((await fails(() => http.request({ socketPath: "/tmp/a" }))).code, "ERR_OPTION_NOT_IMPLEMENTED");
    const request = https.request("https://user:word@example.test:444/a?b", { headers: { A: "1" } });
    same([request.path, request.host, request.getHeader("host"), request.getHeader("authorization")], ["/a?b", "example.test", "example.test:444", "Basic dXNlcjp3b3Jk"]);
    request.destroy();
  },

  async a_client_gets_a_response(url) {
    const response = await new Promise((resolve, reject) => http.get(`${url.origin}/echo`, resolve).on("error", reject));
    equal(response.statusCode, 200);
    response.setEncoding("utf8");
    let body = "";
    for await (const chunk of response) body += chunk;
    equal(body, "GET ");
    const posted = await new Promise((resolve, reject) => {
      const request = http.request(`${url.origin}/echo`, { method: "POST" }, resolve);
      request.on("error", reject);
      request.write("first ");
      request.end("last");
    });
    const chunks = [];
    for await (const chunk of posted) chunks.push(chunk);
    equal(Buffer.concat(chunks).toString(), "POST first last");
  },

  async a_client_undoes_encodings_itself(url) {
    const response = await new Promise((resolve, reject) => http.get(`${url.origin}/gzip`, resolve).on("error", reject));
    equal(response.headers["content-encoding"], "gzip");
    const chunks = [];
    for await (const chunk of response) chunks.push(chunk);
    equal(zlib.gunzipSync(Buffer.concat(chunks)).toString(), ZIPPED);
    // The same by fetch(), which undoes them unless it is told not to.
    equal(await (await fetch(`${url.origin}/gzip`)).text(), ZIPPED);
    const raw = await fetch(new Request(`${url.origin}/gzip`, { encodeResponseBody: "manual" }));
    equal(zlib.gunzipSync(await raw.arrayBuffer()).toString(), ZIPPED);
    // What was left as it was is passed on as it is.
    const passed = await fetch(`${url.origin}/pass-gzip`);
    same([passed.headers.get("content-encoding"), await passed.text()], ["gzip", ZIPPED]);
  },

  // ---- net, tls, dns

  async addresses_are_told_apart() {
    same(["127.0.0.1", "::1", "1.2.3", "::ffff:1.2.3.4", "1:2:3:4:5:6:7:8", ":::", "256.1.1.1"].map((text) => net.isIP(text)), [4, 6, 0, 6, 6, 0, 0]);
    const list = new net.BlockList();
    list.addAddress("123.123.123.123");
    list.addRange("10.0.0.1", "10.0.0.10");
    list.addSubnet("8592:757c:efae:4e45::", 64, "ipv6");
    same(["123.123.123.123", "10.0.0.3", "222.111.111.222"].map((text) => list.check(text)), [true, true, false]);
    equal(list.check("::ffff:7b7b:7b7b", "ipv6"), true);
    equal(list.check("8592:757c:efae:4e45::1", "ipv6"), true);
    same(list.rules[0], "Subnet: IPv6 8592:757c:efae:4e45::/64");
    const address = new net.SocketAddress({ address: "::1", family: "ipv6", port: 80 });
    same(address, { address: "::1", port: 80, family: "ipv6", flowlabel: 0 });
    const port = await fails(() => net.connect({ port: 70_000 }), { name: "Error" });
    same([port.code, port.message], ["ERR_SOCKET_BAD_PORT", "Port should be >= 0 and < 65536. Received number."]);
    equal((await fails(() => net.connect({}))).code, "ERR_MISSING_ARGS");
    await fails(() => net.createServer(), { message: /not implemented/ });
  },

  async names_in_certificates_are_compared() {
    const check = (host, certificate) => tls.checkServerIdentity(host, certificate)?.reason;
    equal(check("b.a.com", { subject: { CN: "*.a.com" } }), undefined);
    equal(check("a.com", { subject: {}, subjectaltname: "DNS:*.a.com" }), "Host: a.com. is not in the cert's altnames: DNS:*.a.com");
    equal(check("8.8.8.8", { subject: { CN: "8.8.8.8" } }), "IP: 8.8.8.8 is not in the cert's list: ");
    equal((await fails(() => tls.connect({ port: 1, rejectUnauthorized: false }))).code, "ERR_OPTION_NOT_IMPLEMENTED");
    equal((await fails(() => tls.connect({ port: 1, secureContext: {} }))).code, "ERR_TLS_INVALID_CONTEXT");
  },

  async addresses_need_no_resolver() {
    same(await dns.promises.lookup("127.0.0.1"), { address: "127.0.0.1", family: 4 });
    same(await util.promisify((name, done) => dns.lookup(name, { all: true }, done))("::1"), [{ address: "::1", family: 6 }]);
    equal((await fails(() => dns.lookup("a", { family: 5 }, () => {}))).code, "ERR_INVALID_ARG_VALUE");
    equal((await fails(() => dns.promises.resolve("a", "XYZ"))).code, "ERR_INVALID_ARG_VALUE");
    equal(dns.NOTFOUND, "ENOTFOUND");
  },

  // ---- process and the rest

  async process_has_streams_and_measures_nothing() {
    same([process.stdin.fd, process.stdout.fd, process.stderr.fd], [0, 1, 2]);
    await new Promise((resolve) => process.stdout.write("a line\n", resolve));
    same(process.memoryUsage(), { rss: 0, heapTotal: 0, heapUsed: 0, external: 0, arrayBuffers: 0 });
    equal(process.umask(), 0o22);
    equal(process.features.tls, true);
    equal((await fails(() => process.setuid(1))).code, "EPERM");
    equal((await fails(() => process.cpuUsage())).code, "ERR_METHOD_NOT_IMPLEMENTED");
    const warned = new Promise((resolve) => process.once("warning", resolve));
    process.emitWarning("careful", { type: "Custom", code: "C1", detail: "more" });
    const warning = await warned;
    same([warning.name, warning.message, warning.code, warning.detail], ["Custom", "careful", "C1", "more"]);
  },

  async rejections_are_events_of_the_process() {
    const heard = new Promise((resolve) => process.once("unhandledRejection", (reason, promise) => resolve([reason, promise])));
    const error = new Error("nobody caught this");
    const rejected = Promise.reject(error);
    const [reason, promise] = await heard;
    equal(reason === error && promise === rejected, true);
    // In a list: a promise that is resolved with a rejected one would be rejected too.
    const late = new Promise((resolve) => process.once("rejectionHandled", (handled) => resolve([handled])));
    rejected.catch(() => {});
    equal((await late)[0] === rejected, true);
  },

  async what_is_there_by_name_says_what_it_cannot_do() {
    equal(isMainThread, true);
    equal((await fails(() => new Worker("a"))).code, "ERR_METHOD_NOT_IMPLEMENTED");
    equal((await fails(() => childProcess.exec("ls"))).code, "ERR_METHOD_NOT_IMPLEMENTED");
    equal((await fails(() => vm.runInThisContext("1"))).code, "ERR_METHOD_NOT_IMPLEMENTED");
    equal((await fails(() => http2.connect("https://a"))).code, "ERR_METHOD_NOT_IMPLEMENTED");
    equal(http2.constants.HTTP2_HEADER_CONTENT_TYPE, "content-type");
    equal(vm.isContext(vm.createContext({})), true);
    equal(hooked, performance);
    for (const name of ["cluster", "console", "dgram", "inspector", "repl", "sqlite", "trace_events", "v8", "wasi"]) {
      equal(typeof process.getBuiltinModule(name), "object", name);
    }
  },

  texts_are_told_apart() {
    same(util.diff("abc", "abd"), [[0, "a"], [0, "b"], [1, "c"], [-1, "d"]]);
    same(util.diff(["x", "y"], ["y"]), [[1, "x"], [0, "y"]]);
    same(util.diff("same", "same"), []);
    equal(util.convertProcessSignalToExitCode("SIGTERM"), 143);
    same([util.format("%s %s", Object("s"), Object(1)), util.format("%s", Buffer.from("b"))], ["[String: 's'] [Number: 1]", "b"]);
    matches(util.inspect(function named(a) {}, { showHidden: true }), /\[length\]: 1,\s+\[name\]: 'named',\s+\[prototype\]/);
    equal(/lineNumber/.test(util.inspect(new Error("x"), { showHidden: true })), false);
  },

  async errors_name_the_kinds_they_want() {
    let thrown;
    try {
      dns.promises.resolve4(1);
    } catch (error) {
      thrown = error.code;
    }
    equal(thrown, "ERR_INVALID_ARG_TYPE", "a promise of dns is not made for a wrong name");
    equal((await fails(() => http.request({ host: "localhost" }, 1))).code, "ERR_INVALID_ARG_TYPE");
    const words = async (work) => (await fails(work)).message;
    equal(await words(() => util.aborted(AbortSignal.abort(), 1)), 'The "resource" argument must be of type object. Received type number (1)');
    equal(await words(() => url.format()), 'The "urlObject" argument must be one of type object or string. Received undefined');
    equal(await words(() => url.pathToFileURL(1)), 'The "filepath" argument must be of type string. Received type number (1)');
    const anonymous = await words(() => childProcess.exec(() => {}));
    equal(anonymous, 'The "command" argument must be of type string. Received type function ([Function (anonymous)])');
    equal((await fails(() => events.setMaxListeners("x"))).code, "ERR_OUT_OF_RANGE");
  },

  async assertions_are_strict() {
    const fail = async (work) => (await fails(work, { name: "AssertionError" })).message;
    equal(await fail(() => assert.equal(1, "1")), "Values are not strictly equal:\n\n\n[Diff] Actual / Expected\n\n\n-   1\n+   '1'\n");
    equal(await fail(() => assert.strictEqual({ a: 1 }, { a: 1 })), "Values have the same structure but are not reference-equal:\n\n    { a: 1 }\n");
    assert.notEqual(1, "1");
    assert.notDeepEqual({ a: 1 }, { a: "1" });
    equal(await fail(() => assert.notStrictEqual(1, 1)), "Expected actual to be strictly unequal to expected");
    equal(await fail(() => assert(0)), "0 == true");
    equal(await fail(() => assert.match("abc", /x/)), 'actual: "abc" expected to match: "/x/"');
    equal(await fail(() => assert.ok(null, "own words")), "own words");
    equal(assert.strict.equal.name, "equal");
  },

  async assertions_check_what_they_get() {
    for (const [work, code] of [
      [() => assert.throws("x"), "ERR_INVALID_ARG_TYPE"],
      [() => assert.throws(() => {}, {}), "ERR_INVALID_ARG_VALUE"],
      [() => assert.throws(() => {}, 1), "ERR_INVALID_ARG_TYPE"],
      [() => assert.throws(() => { throw new Error("same"); }, "same"), "ERR_AMBIGUOUS_ARGUMENT"],
      [() => assert.doesNotThrow(() => {}, 1), "ERR_INVALID_ARG_TYPE"],
      [() => assert.match("x"), "ERR_MISSING_ARGS"],
      [() => assert.strictEqual(1), "ERR_MISSING_ARGS"],
      [() => assert.rejects(() => 1), "ERR_INVALID_RETURN_VALUE"],
      [() => assert.rejects(1), "ERR_INVALID_ARG_TYPE"],
    ]) equal((await fails(work)).code, code, String(work));
    const error = await fails(() => assert.throws(() => { throw new Error("a"); }, TypeError));
    equal(error.message, 'The error is expected to be an instance of "TypeError". Received "Error"\n\nError message:\n\na');
  },

  async mocks_count_and_are_put_back() {
    const object = { method: (a) => a + 1 };
    const before = object.method;
    const mocked = mock.method(object, "method", (a) => a * 10);
    same([object.method(2), object.method(3)], [20, 30]);
    same(mocked.mock.calls.map((call) => call.arguments), [[2], [3]]);
    mocked.mock.restore();
    equal(object.method, before);
    const once = mock.fn(() => 1);
    once.mock.mockImplementationOnce(() => 2);
    same([once(), once(), once.mock.callCount()], [2, 1, 2]);
  },
};

const inner = suite(cases);

export default {
  async fetch(request, given, ctx) {
    env = given;
    const url = new URL(request.url);
    if (url.pathname === "/gzip") {
      return new Response(zlib.gzipSync(ZIPPED), { encodeBody: "manual", headers: { "content-encoding": "gzip" } });
    }
    if (url.pathname === "/pass-gzip") return fetch(`${url.origin}/gzip`, { encodeResponseBody: "manual" });
    if (url.pathname === "/echo") return new Response(`${request.method} ${await request.text()}`);
    const outside = [cases.a_client_gets_a_response, cases.a_client_undoes_encodings_itself];
    const asked = outside.find(({ name }) => url.pathname === `/${name}`);
    if (asked !== undefined) {
      try {
        await asked(url);
        return new Response("ok");
      } catch (error) {
        return new Response(String(error.stack ?? error), { status: 500 });
      }
    }
    return inner.fetch(request, given, ctx);
  },
};
