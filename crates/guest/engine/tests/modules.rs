//! Modules of every kind, as a Worker's table has them. One process has one engine, so the cases
//! share one table.

use mayfly_engine::{Called, Data, Engine, EngineOptions, ModuleEntry, ModuleKind, OpDecl};

type Said = Vec<String>;

fn ops() -> Vec<OpDecl<Said>> {
    vec![OpDecl {
        buffers: mayfly_engine::data::Buffers::Copied,
        object: "ops",
        name: "say",
        function: |said, args| {
            said.push(args.string(0)?);
            Ok(Data::Undefined)
        },
    }]
}

const PLATFORM: &str = r#"
const { engine, ops } = globalThis.__mayfly;
delete globalThis.__mayfly;
globalThis.say = (...parts) => ops.say(parts.map((part) => typeof part === "string" ? part : JSON.stringify(part) ?? String(part)).join(" "));
globalThis.engine = engine;
const loaded = new Map();
const commonJs = (name) => {
  if (loaded.has(name)) return loaded.get(name).exports;
  const module = { exports: {} };
  loaded.set(name, module);
  const f = engine.compileFunction(name, engine.moduleText(name), ["module", "exports", "require"]);
  f(module, module.exports, (s) => {
    const target = engine.resolveModule(s, name);
    if (target.endsWith(".cjs")) return commonJs(target);
    return engine.requireModule(target);
  });
  return module.exports;
};
engine.setHandlers({
  run(name) {
    engine.importModule(name).then(
      (ns) => say("loaded", Object.keys(ns)),
      (e) => say("failed", `${e?.name}: ${e?.message}`, e?.fileName ? `${e.fileName}:${e.lineNumber}` : ""));
  },
  require(name) {
    try { say("required", Object.keys(engine.requireModule(name))); } catch (e) { say("refused", e.message); }
  },
  builtin(specifier) {
    say("builtin", specifier);
    if (specifier === "cloudflare:workers") return { WorkerEntrypoint: class WorkerEntrypoint {}, "weird-name": 7 };
    if (specifier === "node:assert") return { default: () => "assert", ok: 1 };
    return undefined;
  },
  commonJs,
  rejection(promise, reason, handled) { say("rejection", String(reason), handled); },
  uncaught(error) { say("uncaught", String(error)); },
});
"#;

fn module(name: &str, kind: ModuleKind, content: &[u8]) -> ModuleEntry {
    ModuleEntry {
        name: name.to_owned(),
        kind,
        content: content.to_vec(),
        compiled: None,
    }
}

fn js(name: &str, source: &str) -> ModuleEntry {
    module(name, ModuleKind::Js, source.as_bytes())
}

fn cjs(name: &str, source: &str) -> ModuleEntry {
    module(name, ModuleKind::CommonJs, source.as_bytes())
}

/// `(module (func (export "f") (result i32) i32.const 42))`.
const WASM: &[u8] = &[
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7f, 3, 2, 1, 0, 7, 5, 1, 1, 0x66, 0, 0,
    10, 6, 1, 4, 0, 0x41, 42, 0x0b,
];

fn table() -> Vec<ModuleEntry> {
    vec![
        js(
            "main.js",
            r#"import { a } from "./src/a.js"; import text from "./t.txt"; import data from "d.bin";
               import json from "./j.json"; import typed from "./j.json" with { type: "json" };
               export default { a }; export const named = 1;
               say(a, text, data instanceof ArrayBuffer, data.byteLength, json, typed === json);
               say(import.meta.url, import.meta.main, import.meta.filename, import.meta.dirname, import.meta.resolve("./src/a.js"), import.meta.exports);"#,
        ),
        js(
            "src/a.js",
            r#"import { b } from "./b.js"; export const a = "a" + b(); export const me = "a"; say("meta", import.meta.url, import.meta.main);"#,
        ),
        js(
            "src/b.js",
            r#"import * as a from "./a.js"; export function b() { return "b" + typeof a; }"#,
        ),
        module("t.txt", ModuleKind::Text, "text é".as_bytes()),
        module("d.bin", ModuleKind::Data, &[1, 2, 3]),
        module("j.json", ModuleKind::Json, br#"{"j":[1]}"#),
        module("bad.json", ModuleKind::Json, b"{\n,}"),
        module("w.wasm", ModuleKind::Wasm, WASM),
        js(
            "wasm.js",
            r#"import w from "./w.wasm"; import source s from "./w.wasm";
            say(w instanceof WebAssembly.Module, s instanceof WebAssembly.Module, new WebAssembly.Instance(w).exports.f(), new WebAssembly.Instance(s).exports.f());"#,
        ),
        js(
            "tla.js",
            r#"import { slow } from "./slow.js"; say("after", slow); export const x = await Promise.resolve(3);"#,
        ),
        js(
            "slow.js",
            r#"await new Promise((r) => Promise.resolve().then(r)); say("slow"); export const slow = "yes";"#,
        ),
        js("missing.js", r#"import "./src/aa.js";"#),
        js("missing2.js", r#"import "left-pad";"#),
        js("missing3.js", r#"import "node:nothing";"#),
        js("syntax.js", "export const fine = 1;\nimport './broken.js';"),
        js("broken.js", "let ok = 1;\nlet broken = = 2;"),
        js("noexport.js", "import { nope } from './src/a.js';"),
        js("throws.js", "throw new RangeError('thrown at load');"),
        js(
            "dynamic.js",
            r#"export const r = await import("./src/a.js").then((m) => m.me); say("dynamic", r);
            await import("./none.js").catch((e) => say("caught", e.message));
            await import("./throws.js").catch((e) => say("caught", e.message));
            const again = await import("./src/a.js"); const same = await import("/src/a.js"); say(again === same);"#,
        ),
        js(
            "builtins.js",
            r#"import { WorkerEntrypoint, "weird-name" as weird } from "cloudflare:workers"; import * as all from "cloudflare:workers";
            import whole from "cloudflare:workers"; import assert, { ok } from "node:assert"; import bare from "assert";
            say(typeof WorkerEntrypoint, weird, Object.keys(all), whole.WorkerEntrypoint === WorkerEntrypoint, assert(), ok, bare === assert);"#,
        ),
        cjs(
            "c.cjs",
            r#"exports.one = 1; module.exports.two = require("./lib/d.cjs").d; Object.defineProperty(exports, "__esModule", { value: true });
            exports.later = import("./src/a.js").then((m) => m.me);"#,
        ),
        cjs(
            "lib/d.cjs",
            r#"exports.d = "d"; exports.up = () => require("../c.cjs").one; say("d runs");"#,
        ),
        cjs(
            "f.cjs",
            "module.exports = function f() { return 'f'; }; module.exports.extra = 1;",
        ),
        cjs("star.cjs", "module.exports = require('./lib/d.cjs');"),
        cjs("null.cjs", "exports.gone = 1; module.exports = null;"),
        cjs(
            "boom.cjs",
            "\n\nthrow new Error('boom ' + new Error().stack.split('\\n')[0].replace(/^.*@/, ''));",
        ),
        cjs("esm.cjs", "module.exports = require('./src/b.js').b();"),
        js(
            "cjs.js",
            r#"import c, { one, two, later } from "./c.cjs"; import f, { extra } from "./f.cjs"; import { d } from "./star.cjs"; import n, { gone } from "./null.cjs"; import e from "./esm.cjs";
            say(c.one === one, two, await later, f(), extra, d, n, gone, e);"#,
        ),
        js("boom.js", r#"import "./boom.cjs";"#),
        js(
            "rejecting.js",
            r#"Promise.reject(new Error("nobody")); export default 1;"#,
        ),
    ]
}

fn check(engine: &mut Engine<Said>, handler: &str, name: &str, expect: &[&str]) {
    let called = engine.call(handler, vec![Data::String(name.to_owned())]);
    assert_eq!(called, Called::Quiet, "{name}");
    let said = std::mem::take(engine.state());
    assert_eq!(said, expect, "{handler} {name}");
}

#[test]
fn modules() {
    let mut engine = Engine::new(EngineOptions::default(), Said::new(), ops()).unwrap();
    engine
        .evaluate_platform(&[("boot.ts", PLATFORM)], "boot.ts")
        .unwrap();
    engine.preload_builtins(&["cloudflare:workers"]).unwrap();
    assert_eq!(
        std::mem::take(engine.state()),
        ["builtin cloudflare:workers"]
    );
    engine.set_modules(table());
    let e = &mut engine;
    check(
        e,
        "run",
        "main.js",
        &[
            "meta file:///src/a.js false",
            "abobject text é true 3 {\"j\":[1]} true",
            "file:///main.js true /main.js / file:///src/a.js undefined",
            "loaded [\"default\",\"named\"]",
        ],
    );
    check(e, "run", "main.js", &["loaded [\"default\",\"named\"]"]);
    check(e, "run", "wasm.js", &["true true 42 42", "loaded []"]);
    check(
        e,
        "require",
        "tla.js",
        &[
            "refused Top-level await in module is not permitted at this time.",
            "slow",
            "after yes",
        ],
    );
    check(e, "run", "tla.js", &["loaded [\"x\"]"]);
    check(e, "require", "tla.js", &["required [\"x\"]"]);
    check(e, "require", "src/b.js", &["required [\"b\"]"]);
    check(e, "require", "j.json", &["required [\"default\"]"]);
    check(
        e,
        "run",
        "missing.js",
        &[
            "failed Error: No such module \"./src/aa.js\", imported from \"missing.js\". Did you mean \"src/a.js\"? mayfly:importModule:1",
        ],
    );
    check(
        e,
        "run",
        "missing2.js",
        &[
            "failed Error: No such module \"left-pad\", imported from \"missing2.js\". mayfly:importModule:1",
        ],
    );
    check(
        e,
        "run",
        "missing3.js",
        &[
            "builtin node:nothing",
            "failed Error: No such module \"node:nothing\". mayfly:importModule:1",
        ],
    );
    check(
        e,
        "run",
        "syntax.js",
        &["failed SyntaxError: expected expression, got '=' broken.js:2"],
    );
    check(
        e,
        "run",
        "noexport.js",
        &[
            "failed SyntaxError: The requested module 'src/a.js' doesn't provide an export named: 'nope' noexport.js:1",
        ],
    );
    check(
        e,
        "run",
        "bad.json",
        &[
            "failed SyntaxError: JSON.parse: expected property name or '}' at line 2 column 1 of the JSON data bad.json:2",
        ],
    );
    check(
        e,
        "run",
        "throws.js",
        &["failed RangeError: thrown at load throws.js:1"],
    );
    check(
        e,
        "run",
        "dynamic.js",
        &[
            "dynamic a",
            "caught No such module \"./none.js\", imported from \"dynamic.js\".",
            "caught thrown at load",
            "true",
            "loaded [\"r\"]",
        ],
    );
    check(
        e,
        "run",
        "builtins.js",
        &[
            "builtin node:assert",
            "function 7 [\"WorkerEntrypoint\",\"default\",\"weird-name\"] true assert 1 true",
            "loaded []",
        ],
    );
    check(
        e,
        "run",
        "cjs.js",
        &[
            "d runs",
            "true d a f 1 d null undefined bobject",
            "loaded []",
        ],
    );
    check(
        e,
        "run",
        "boom.js",
        &["failed Error: boom boom.cjs:3:27 boom.cjs:3"],
    );
    check(
        e,
        "run",
        "rejecting.js",
        &["loaded [\"default\"]", "rejection Error: nobody false"],
    );
    check(
        e,
        "run",
        "none",
        &[
            "builtin none",
            "failed Error: No such module \"none\". mayfly:importModule:1",
        ],
    );
    e.collect();
    check(e, "run", "main.js", &["loaded [\"default\",\"named\"]"]);
}
