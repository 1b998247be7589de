// The smaller modules of Node.js: paths, URLs, query strings, events, decoders, and how modules are found.

import events, { EventEmitter, EventEmitterAsyncResource, errorMonitor, getEventListeners, on, once, setMaxListeners } from "node:events";
import { AsyncLocalStorage } from "node:async_hooks";
import module, { builtinModules, createRequire, isBuiltin } from "node:module";
import os from "node:os";
import path from "node:path";
import punycode from "node:punycode";
import querystring from "node:querystring";
import readline from "node:readline";
import readlinePromises from "node:readline/promises";
import { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import tty from "node:tty";
import url from "node:url";
import bareFs from "fs";
import { equal, fails, matches, same } from "../kit/suite.js";

/** Each row: what the function gets, then what it gives. */
function table(work, rows) {
  for (const [...row] of rows) {
    const wanted = row.pop();
    same(work(...row), wanted, JSON.stringify(row));
  }
}

export const modules = {
  async path_posix() {
    const { posix } = path;
    equal(path, posix);
    table(posix.normalize, [["/a/./b/../c//d/", "/a/c/d/"], ["../a/..", ".."], ["", "."], ["/../a", "/a"]]);
    table(posix.join, [["a", "../b", "c.js", "b/c.js"], ["", "."], ["/a", "/b", "/a/b"]]);
    table(posix.resolve, [["/a", "b", "../c", "/a/c"], ["x", "/x"], ["", "/"], ["/a", "/b", "/b"]]);
    table(posix.relative, [["/a/b/c", "/a/d", "../../d"], ["/a", "/a", ""], ["/a", "/a/b", "b"]]);
    table(posix.dirname, [["/a/b/", "/a"], ["/a", "/"], ["a", "."], ["//a", "//"]]);
    table(posix.basename, [["/a/b.html", ".html", "b"], ["/a/b/", "b"], ["a.js", "a.js", ""]]);
    table(posix.extname, [["a.b.c", ".c"], [".bashrc", ""], ["a.", "."], ["a/b", ""]]);
    same(posix.parse("/home/u/file.txt"), { root: "/", dir: "/home/u", base: "file.txt", ext: ".txt", name: "file" });
    table(posix.format, [[{ dir: "/a", name: "b", ext: "c" }, "/a/b.c"], [{ root: "/", base: "x" }, "/x"]]);
    same([posix.isAbsolute("/a"), posix.isAbsolute("a"), posix.sep, posix.delimiter], [true, false, "/", ":"]);
    equal((await fails(() => posix.join(1))).code, "ERR_INVALID_ARG_TYPE");
  },

  async path_win32() {
    const { win32 } = path;
    table(win32.normalize, [["C:/a/../b//c\\", "C:\\b\\c\\"], ["\\\\server\\share\\..\\x", "\\\\server\\share\\x"], ["c:", "c:."]]);
    table(win32.join, [["c:\\a", "..", "b", "c:\\b"], ["a", "/b", "a\\b"]]);
    table(win32.resolve, [["c:/a", "..\\b", "c:\\b"], ["c:\\a", "d:\\b", "d:\\b"]]);
    table(win32.relative, [["C:\\a\\b", "c:\\A\\d", "..\\d"], ["C:\\a", "D:\\a", "D:\\a"]]);
    same(win32.parse("C:\\dir\\file.txt"), { root: "C:\\", dir: "C:\\dir", base: "file.txt", ext: ".txt", name: "file" });
    same([win32.isAbsolute("C:/"), win32.isAbsolute("C:a"), win32.toNamespacedPath("C:\\x")], [true, false, "\\\\?\\C:\\x"]);
  },

  async path_globs() {
    table(path.matchesGlob, [
      ["a/b.js", "a/*.js", true], ["a/b/c.js", "a/*.js", false], ["a/b/c.js", "a/**/*.js", true], ["a/x", "a/{x,y}", true],
      ["a/3", "a/[1-4]", true], ["a/.x", "a/*", false], ["abab", "+(ab)", true], ["ac", "!(ab)", true],
    ]);
  },

  async querystring_reads_and_writes() {
    table((text, ...more) => querystring.parse(text, ...more), [
      ["a=1&b=2&a=3", { a: ["1", "3"], b: "2" }], ["a%20b=c+d", { "a b": "c d" }], ["a:1;b:2", ";", ":", { a: "1", b: "2" }], ["%zz=%e4", { "%zz": "\ufffd" }],
    ]);
    equal(querystring.stringify({ a: [1, true], b: "ü &", c: null, d: 1n }), "a=1&a=true&b=%C3%BC%20%26&c=&d=1");
    equal(Object.keys(querystring.parse("a&b&c", null, null, { maxKeys: 2 })).length, 2);
    same(querystring.parse("a", "", null), { a: "" }, "a separator of nothing separates nothing");
    equal((await fails(() => querystring.escape("\ud800"))).code, "ERR_INVALID_URI");
  },

  async url_of_before_the_standard() {
    const { auth, host, pathname, query, hash } = url.parse("HTTP://User:p%40ss@Example.com:80/a\\b?x=1#frag", true);
    same([auth, host, pathname, { ...query }, hash], ["User:p@ss", "example.com:80", "/a/b", { x: "1" }, "#frag"]);
    table(url.resolve, [
      ["/one/two/three", "four", "/one/two/four"], ["http://example.com/", "/one", "http://example.com/one"], ["http://a/b/c", "../d", "http://a/d"], ["mailto:a@b", "c", "mailto:a@c"],
    ]);
    equal(url.format({ protocol: "https", hostname: "::1", port: 8, pathname: "a?b", query: { c: [1, 2] } }), "https://[::1]:8/a%3Fb?c=1&c=2");
    equal((await fails(() => url.parse("http://a[b/"))).code, "ERR_INVALID_URL");
  },

  async url_of_files_and_hosts() {
    equal(url.fileURLToPath("file:///a%20b/c"), "/a b/c");
    equal(url.fileURLToPath(new URL("file:///C:/x"), { windows: true }), "C:\\x");
    equal(url.pathToFileURL("/a b#c?.js").href, "file:///a%20b%23c%3F.js");
    equal((await fails(() => url.fileURLToPath("https://a/"))).code, "ERR_INVALID_URL_SCHEME");
    equal((await fails(() => url.fileURLToPath("file:///a%2Fb"))).code, "ERR_INVALID_FILE_URL_PATH");
    same([url.domainToASCII("español.com"), url.domainToUnicode("xn--espaol-zwa.com")], ["xn--espaol-zwa.com", "español.com"]);
    equal(url.format(new URL("http://u:p@日本.jp:8/x?y#z"), { unicode: true, auth: false, fragment: false, search: false }), "http://日本.jp:8/x");
    same(url.urlToHttpOptions(new URL("http://u:p@a:8/b?c")).auth, "u:p");
    equal(url.URL, URL);
  },

  async string_decoder_keeps_what_is_cut() {
    for (const [encoding, text] of [["utf8", "€ 𝄞 ü"], ["utf16le", "a𝄞b"], ["base64", "hello"], ["hex", "hi"]]) {
      const bytes = Buffer.from(text);
      const whole = encoding === "utf16le" ? Buffer.from(text, "utf16le") : bytes;
      const decoder = new StringDecoder(encoding);
      let joined = "";
      for (const byte of whole) joined += decoder.write(Buffer.from([byte]));
      equal(joined + decoder.end(), whole.toString(encoding), encoding);
    }
    const decoder = new StringDecoder();
    same([decoder.write(Buffer.from([0xe2, 0x82])), decoder.lastNeed, decoder.end()], ["", 1, "\ufffd"]);
    equal((await fails(() => new StringDecoder("utf9"))).code, "ERR_UNKNOWN_ENCODING");
  },

  async punycode_and_os() {
    table(punycode.encode, [["mañana", "maana-pta"], ["☃-⌘", "--dqo34k"]]);
    same([punycode.decode("maana-pta"), punycode.toASCII("mañana.com"), punycode.toUnicode("xn--maana-pta.com")], ["mañana", "xn--maana-pta.com", "mañana.com"]);
    same([os.EOL, os.platform(), os.cpus(), os.tmpdir(), os.constants.errno.ENOENT, os.constants.signals.SIGKILL], ["\n", "linux", [], "/tmp/", 2, 9]);
  },

  async events_emit() {
    const emitter = new EventEmitter();
    const heard = [];
    emitter.on("newListener", (name) => heard.push(`new ${String(name)}`));
    emitter.once("x", (...args) => heard.push(["once", ...args]));
    emitter.prependListener("x", () => heard.push("first"));
    emitter.emit("x", 1, 2);
    equal(emitter.emit("x"), true);
    same(heard, ["new x", "new x", "first", ["once", 1, 2], "first"]);
    same([emitter.listenerCount("x"), emitter.eventNames(), emitter.rawListeners("x").length], [1, ["newListener", "x"], 1]);
    const error = new Error("boom");
    equal(await fails(() => emitter.emit("error", error)), error);
    matches((await fails(() => emitter.emit("error", "text"))).message, /Unhandled error\. \('text'\)/);
    const watched = [];
    emitter.on(errorMonitor, (seen) => watched.push(seen));
    await fails(() => emitter.emit("error", error));
    same([watched.length, watched[0] === error], [1, true]);
    function Old() {
      EventEmitter.call(this);
    }
    Object.setPrototypeOf(Old.prototype, EventEmitter.prototype);
    equal(new Old().on("a", () => {}).emit("a"), true);
    equal(events, EventEmitter);
  },

  async events_as_promises() {
    const emitter = new EventEmitter();
    queueMicrotask(() => emitter.emit("ready", 1, 2));
    same(await once(emitter, "ready"), [1, 2]);
    queueMicrotask(() => emitter.emit("error", new Error("no")));
    equal((await fails(() => once(emitter, "ready"))).message, "no");
    const seen = [];
    queueMicrotask(() => ["a", "b"].forEach((item) => emitter.emit("item", item)));
    for await (const [item] of on(emitter, "item")) if (seen.push(item) === 2) break;
    same([seen, emitter.listenerCount("item")], [["a", "b"], 0]);
    const signal = AbortSignal.abort("why");
    equal((await fails(() => once(emitter, "never", { signal }))).name, "AbortError");
    const target = new EventTarget();
    target.addEventListener("e", seen.push);
    equal(getEventListeners(target, "e").length, 1);
    setMaxListeners(3, target, emitter);
    same([events.getMaxListeners(target), emitter.getMaxListeners()], [3, 3]);
  },

  async events_capture_rejections_and_contexts() {
    const emitter = new EventEmitter({ captureRejections: true });
    emitter.on("work", async () => {
      throw new Error("later");
    });
    const failed = once(emitter, "error");
    emitter.emit("work");
    equal((await failed)[0].message, "later");
    const storage = new AsyncLocalStorage();
    const resource = storage.run("inside", () => new EventEmitterAsyncResource({ name: "R" }));
    let seen;
    resource.on("e", () => (seen = storage.getStore()));
    storage.run("outside", () => resource.emit("e"));
    equal(seen, "inside");
  },

  async modules_are_found() {
    equal(bareFs, process.getBuiltinModule("node:fs"));
    equal(process.getBuiltinModule("no such"), undefined);
    const require = createRequire("/");
    equal(require("path"), path);
    equal(require("node:events"), EventEmitter);
    same([isBuiltin("fs"), isBuiltin("node:test"), isBuiltin("test"), builtinModules.includes("zlib")], [true, true, false, true]);
    equal((await fails(() => createRequire("x"))).code, "ERR_INVALID_ARG_VALUE");
    equal(typeof module.createRequire, "function");
  },

  async modules_come_with_their_flags(env) {
    const code = (name) => `import * as m from "${name}"; export default { fetch() { return new Response(Object.keys(m).length > 1 ? "there" : "empty"); } };`;
    const load = (name, compatibilityDate, compatibilityFlags) =>
      env.LOADER.load({ compatibilityDate, compatibilityFlags, mainModule: "m.js", modules: { "m.js": code(name) } }).getEntrypoint().fetch("https://x/");
    for (const [name, date, flags] of [["node:fs", "2025-09-15", ["nodejs_compat"]], ["fs", "2025-01-01", ["nodejs_compat", "enable_nodejs_fs_module"]], ["node:path", "2024-09-23", ["nodejs_compat"]]]) {
      equal(await (await load(name, date, flags)).text(), "there", name);
    }
    for (const [name, date, flags] of [["node:fs", "2025-09-14", ["nodejs_compat"]], ["node:readline", "2026-01-01", ["nodejs_compat"]], ["node:path", "2024-09-23", []], ["node:os", "2026-01-01", ["nodejs_compat", "disable_nodejs_os_module"]]]) {
      matches((await fails(() => load(name, date, flags))).message, /No such module "node:/, name);
    }
  },

  async readline_reads_lines() {
    const lines = [];
    for await (const line of readline.createInterface({ input: Readable.from(["a\nb", "c\r\n", "\nlast"]) })) lines.push(line);
    same(lines, ["a", "bc", "", "last"]);
    const asked = readlinePromises.createInterface({ input: Readable.from(["yes\nno\n"]) });
    equal(await asked.question("sure? "), "yes");
    same([readline.cursorTo(), tty.isatty(1), new readline.Interface().getPrompt()], [false, false, ""]);
  },
};
