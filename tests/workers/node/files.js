// node:fs: the Worker's modules, a temporary directory for each request, and devices.

import fs, { promises } from "node:fs";
import { open } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { equal, fails, matches, same } from "../kit/suite.js";

const codeOf = async (work) => (await fails(work)).code;

export const files = {
  async fs_writes_and_reads() {
    fs.writeFileSync("/tmp/a.txt", "one");
    fs.appendFileSync("/tmp/a.txt", " two");
    equal(fs.readFileSync("/tmp/a.txt", "utf8"), "one two");
    equal(Buffer.isBuffer(fs.readFileSync(new URL("file:///tmp/a.txt"))), true);
    equal(await promises.readFile("/tmp/a.txt", { encoding: "latin1" }), "one two");
    same(await new Promise((done) => fs.readFile("/tmp/a.txt", "utf8", (...args) => done(args))), [null, "one two"]);
    equal(await promisify(fs.readFile)("/tmp/a.txt", "utf8"), "one two");
    const stat = fs.statSync("/tmp/a.txt");
    same([stat.isFile(), stat.size, typeof fs.statSync("/tmp/a.txt", { bigint: true }).mtimeNs], [true, 7, "bigint"]);
    fs.truncateSync("/tmp/a.txt", 3);
    equal(fs.readFileSync("/tmp/a.txt", "utf8"), "one");
    fs.writeFileSync("/tmp/a.txt", "x");
    equal(fs.readFileSync("/tmp/a.txt", "utf8"), "x", "writing takes the place of what was there");
  },

  async fs_errors_are_the_systems() {
    const error = await fails(() => fs.readFileSync("/tmp/none"));
    same([error.code, error.errno, error.syscall, error.path], ["ENOENT", -2, "open", "/tmp/none"]);
    equal(error.message, "ENOENT: no such file or directory, open '/tmp/none'");
    for (const [work, code] of [
      [() => fs.openSync("/tmp/none", "r"), "ENOENT"],
      [() => fs.writeFileSync("/bundle/x", ""), "EPERM"],
      [() => fs.mkdirSync("/x"), "EPERM"],
      [() => fs.mkdirSync("/tmp"), "EEXIST"],
      [() => fs.readFileSync("/tmp"), "EISDIR"],
      [() => fs.readdirSync("/dev/null"), "ENOTDIR"],
      [() => fs.closeSync(99), "EBADF"],
      [() => fs.rmSync("/tmp/none"), "ENOENT"],
      [() => fs.readFileSync(1.5), "ERR_OUT_OF_RANGE"],
      [() => fs.readFileSync({}), "ERR_INVALID_ARG_TYPE"],
      [() => fs.openSync("/tmp/x", "q"), "ERR_INVALID_ARG_VALUE"],
      [() => fs.readFileSync("/tmp/a\0b"), "ERR_INVALID_ARG_VALUE"],
      [() => promises.stat("/tmp/none"), "ENOENT"],
    ]) equal(await codeOf(work), code, String(work));
    const called = await new Promise((done) => fs.stat("/tmp/none", done));
    equal(called.code, "ENOENT");
    equal(await codeOf(() => fs.stat("/tmp/none")), "ERR_INVALID_ARG_TYPE");
    equal(fs.statSync("/tmp/none", { throwIfNoEntry: false }), undefined);
  },

  async fs_callbacks_come_after_the_arguments() {
    const none = undefined;
    for (const [work, code] of [
      [() => fs.access("/tmp/x", 99, none), "ERR_OUT_OF_RANGE"],
      [() => fs.chmod("/tmp/x", -1, none), "ERR_OUT_OF_RANGE"],
      [() => fs.chmod("/tmp/x", "9", none), "ERR_INVALID_ARG_VALUE"],
      [() => fs.mkdir("/tmp/x", "777", none), "ERR_INVALID_ARG_TYPE"],
      [() => fs.appendFile("/tmp/x", "x", { encoding: "nope" }, none), "ERR_INVALID_ARG_VALUE"],
      [() => fs.open("/tmp/x", "nope", none), "ERR_INVALID_ARG_VALUE"],
      [() => fs.writeFile("/tmp/x", "x", none), "ERR_INVALID_ARG_TYPE"],
      [() => fs.copyFileSync("/tmp/a", "/tmp/b", -1), "ERR_INVALID_ARG_VALUE"],
      [() => fs.statSync("/tmp", null), "ERR_INVALID_ARG_TYPE"],
      [() => fs.readdirSync("/tmp", { encoding: null }), "ERR_INVALID_ARG_VALUE"],
      [() => fs.createWriteStream("/tmp/x", "nope"), "ERR_INVALID_ARG_VALUE"],
    ]) equal(await codeOf(work), code, String(work));
    equal(fs.existsSync("/tmp/x"), false, "nothing was done");
    const bad = await new Promise((done) => fs.read("x", Buffer.alloc(1), done));
    equal(bad.code, "ERR_INVALID_ARG_TYPE", "read tells its callback");
    const error = await fails(() => fs.readdirSync("/", { encoding: "nope" }));
    equal(error.message, "The property 'options.encoding' is invalid. Received 'nope'");
    fs.writeFileSync("/tmp/blob", "four");
    equal(fs.openAsBlob("/tmp/blob").size, 4);
  },

  async fs_directories() {
    equal(fs.mkdirSync("/tmp/a/b/c", { recursive: true }), "/tmp/a");
    fs.writeFileSync("/tmp/a/b/x.js", "");
    fs.writeFileSync("/tmp/a/y.txt", "");
    same(fs.readdirSync("/tmp/a").sort(), ["b", "y.txt"]);
    same(fs.readdirSync("/tmp/a", { recursive: true }).sort(), ["b", "b/c", "b/x.js", "y.txt"]);
    const [entry] = fs.readdirSync("/tmp/a", { withFileTypes: true });
    same([entry.name, entry.isDirectory(), entry.parentPath], ["b", true, "/tmp/a"]);
    const names = [];
    for await (const found of await promises.opendir("/tmp/a")) names.push(found.name);
    same(names.sort(), ["b", "y.txt"]);
    same([...fs.globSync("**/*.js", { cwd: "/tmp/a" })], ["b/x.js"]);
    equal(await codeOf(() => fs.rmdirSync("/tmp/a")), "ENOTEMPTY");
    fs.cpSync("/tmp/a", "/tmp/copy", { recursive: true });
    fs.renameSync("/tmp/a/y.txt", "/tmp/a/z.txt");
    fs.rmSync("/tmp/a", { recursive: true });
    same([fs.existsSync("/tmp/a"), fs.existsSync("/tmp/copy/b/x.js"), fs.existsSync("/tmp/copy/z.txt")], [false, true, false]);
    matches(fs.mkdtempSync("/tmp/pre-"), /^\/tmp\/pre-/);
  },

  async fs_links() {
    fs.writeFileSync("/tmp/real", "here");
    fs.symlinkSync("/tmp/real", "/tmp/soft");
    fs.linkSync("/tmp/real", "/tmp/hard");
    same([fs.readlinkSync("/tmp/soft"), fs.realpathSync("/tmp/soft"), fs.lstatSync("/tmp/soft").isSymbolicLink()], ["/tmp/real", "/tmp/real", true]);
    fs.writeFileSync("/tmp/soft", "through");
    same([fs.readFileSync("/tmp/real", "utf8"), fs.readFileSync("/tmp/hard", "utf8")], ["through", "through"]);
    fs.unlinkSync("/tmp/real");
    same([fs.existsSync("/tmp/soft"), fs.existsSync("/tmp/hard")], [false, true]);
    fs.symlinkSync("/tmp/two", "/tmp/one");
    fs.symlinkSync("/tmp/one", "/tmp/two");
    equal(await codeOf(() => fs.statSync("/tmp/one")), "ELOOP");
  },

  async fs_handles() {
    await using handle = await open("/tmp/h", "w+");
    equal((await handle.write("hello world")).bytesWritten, 11);
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(5), 0, 5, 6);
    same([bytesRead, buffer.toString()], [5, "world"]);
    await handle.writeFile("whole");
    equal(await handle.readFile("utf8"), "whole");
    equal(await new Response((await open("/tmp/h")).readableWebStream({ autoClose: true })).text(), "whole");
    const fd = fs.openSync("/tmp/h", "a");
    fs.writeSync(fd, "!", 0);
    fs.closeSync(fd);
    equal(fs.readFileSync("/tmp/h", "utf8"), "whole!", "appending ignores the place");
    equal(await codeOf(() => open("/tmp/h", "wx")), "EEXIST");
  },

  async fs_streams() {
    await pipeline(["a".repeat(70_000), "end"], fs.createWriteStream("/tmp/s"));
    equal(fs.statSync("/tmp/s").size, 70_003);
    let tail = "";
    for await (const part of fs.createReadStream("/tmp/s", { start: 69_999, encoding: "utf8" })) tail += part;
    equal(tail, "aend");
    await pipeline(["X"], fs.createWriteStream("/tmp/s", { flags: "r+", start: 1 }));
    equal(fs.readFileSync("/tmp/s", "utf8").slice(0, 3), "aXa");
    const missing = fs.createReadStream("/tmp/none");
    equal((await new Promise((done) => missing.on("error", done))).code, "ENOENT");
    const lines = [];
    fs.writeFileSync("/tmp/lines", "1\n2\n3");
    for await (const line of (await open("/tmp/lines")).readLines()) lines.push(line);
    same(lines, ["1", "2", "3"]);
  },

  async fs_bundle_and_devices() {
    same(fs.readdirSync("/"), ["bundle", "tmp", "dev"]);
    matches(fs.readFileSync("/bundle/index.js", "utf8"), /node:fs|suite/);
    equal(fs.readFileSync("/dev/null").length, 0);
    const bytes = Buffer.alloc(8, 1);
    const fd = fs.openSync("/dev/zero");
    same([fs.readSync(fd, bytes), bytes.toString("hex")], [8, "0000000000000000"]);
    fs.readSync(fs.openSync("/dev/random"), bytes);
    equal(bytes.some((byte) => byte !== 0), true);
    equal(await codeOf(() => fs.writeFileSync("/dev/full", "x")), "EPERM");
    equal(process.cwd(), "/bundle");
    equal(fs.existsSync("index.js"), true, "relative paths start at the bundle");
  },

  async fs_temporary_files_belong_to_a_request(env) {
    const code = `import fs from "node:fs"; export default { fetch() { const seen = fs.existsSync("/tmp/x"); fs.writeFileSync("/tmp/x", ""); return new Response(String(seen)); } };`;
    const child = env.LOADER.get("files", () => ({ compatibilityDate: "2026-08-01", compatibilityFlags: ["nodejs_compat"], mainModule: "m.js", modules: { "m.js": code } }));
    for (const _ of [1, 2]) equal(await (await child.getEntrypoint().fetch("https://x/")).text(), "false");
  },

  async fs_as_the_web_has_it(env) {
    const code = `import fs from "node:fs"; export default { async fetch() {
      const root = await navigator.storage.getDirectory();
      const temporary = await root.getDirectoryHandle("tmp");
      const handle = await temporary.getFileHandle("w", { create: true });
      const writable = await handle.createWritable();
      await writable.write("hello ");
      await writable.write({ type: "write", position: 6, data: new Blob(["web"]) });
      const before = fs.readFileSync("/tmp/w", "utf8");
      await writable.close();
      const missing = await temporary.getFileHandle("none").catch((error) => error.name);
      await temporary.removeEntry("w");
      return Response.json([await Array.fromAsync(root.keys()), before, handle.kind, await root.resolve(temporary), missing, fs.existsSync("/tmp/w")]);
    } };`;
    const flags = ["nodejs_compat", "experimental", "enable_web_file_system"];
    const child = env.LOADER.load({ compatibilityDate: "2026-08-01", compatibilityFlags: flags, allowExperimental: true, mainModule: "m.js", modules: { "m.js": code } });
    same(await (await child.getEntrypoint().fetch("https://x/")).json(), [["bundle", "tmp", "dev"], "", "file", ["tmp"], "NotFoundError", false]);
  },

  async fs_has_a_bound() {
    const fd = fs.openSync("/tmp/big", "w");
    equal(await codeOf(() => fs.ftruncateSync(fd, 2 ** 31)), "EFBIG");
  },
};
