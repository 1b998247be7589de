//! Ops, data, microtasks, rejections and async context. One process has one engine, so the cases
//! share one and run in order.

use mayfly_engine::{Called, Data, Engine, EngineOptions, OpDecl, OpError};

#[derive(Default)]
struct State {
    said: Vec<Data>,
}

fn ops() -> Vec<OpDecl<State>> {
    vec![
        OpDecl {
            buffers: mayfly_engine::data::Buffers::Copied,
            object: "ops",
            name: "say",
            function: |state, args| {
                state.said.push(args.take(0));
                Ok(Data::Undefined)
            },
        },
        OpDecl {
            buffers: mayfly_engine::data::Buffers::Copied,
            object: "ops",
            name: "echo",
            function: |_, args| Ok(args.take(0)),
        },
        OpDecl {
            buffers: mayfly_engine::data::Buffers::Counted,
            object: "ops",
            name: "start",
            function: |_, args| Ok(args.take(0)),
        },
        OpDecl {
            buffers: mayfly_engine::data::Buffers::Copied,
            object: "wire",
            name: "refuse",
            function: |_, args| {
                let class = match args.string(0)?.as_str() {
                    "TypeError" => "TypeError",
                    "RangeError" => "RangeError",
                    _ => "DataError",
                };
                Err(OpError {
                    class,
                    message: "no".to_owned(),
                })
            },
        },
    ]
}

const PLATFORM: &str = r#"
import { helper } from "./lib/helper.ts";
const { engine, ops, wire } = globalThis.__mayfly;
delete globalThis.__mayfly;
globalThis.DOMException = class DOMException extends Error {
  #name; constructor(message, name) { super(message); this.#name = name; }
  get name() { return this.#name; }
};
const tests = {
  echo(value) { ops.say(ops.echo(value)); },
  types() {
    const same = (a) => { const b = ops.echo(a); ops.say(JSON.stringify(a) === JSON.stringify(b)); };
    same([1, -0, 1.5, "a", "é", "日本", null, true, { a: { b: [1] }, "0": 2 }]);
    ops.say(Object.is(ops.echo(-0), -0));
    ops.say(Number.isNaN(ops.echo(NaN)));
    ops.say(ops.echo(2 ** 40));
    const u = new Uint8Array([1, 2, 3, 4]).subarray(1, 3);
    ops.say(ops.echo(u) instanceof Uint8Array && ops.echo(u).join());
    ops.say(ops.echo(new DataView(u.buffer, 3)).join());
    ops.say(ops.echo(new Uint16Array([258])).join());
    ops.say(ops.echo(new ArrayBuffer(3)).length);
    ops.say(ops.echo(new Uint8Array(100000).fill(7)).buffer.byteLength);
    ops.say(ops.echo("\ud800x"));
  },
  starts() {
    const page = new Uint8Array([1, 2, 3, 4]);
    for (const count of [0, 2, 4, 9, 1.5, -1]) ops.say(ops.start(page, count).join());
    ops.say(ops.start([page], 1)[0].join());
  },
  passing(bytes, name) {
    globalThis.page ??= new Uint8Array(4);
    if (name === "give") engine.setArrivals(page);
    if (name === "detach") page.buffer.transfer();
    ops.say(typeof bytes === "number" ? `${bytes}: ${Array.from({ length: bytes }, (_, i) => page[i]).join()}` : bytes.join());
    if (name === "text") for (const [from, to] of [[1, 3], [0, 4], [2, 2], [3, 5], [-1, 2], [3, 1]]) ops.say(engine.arrivedText(from, to));
    ops.say({ give: 1, "caf\u00e9": 2 }[name] ?? name.length);
  },
  promises() {
    const [a, b, c] = [engine.newPromise(), engine.newPromise(), engine.newPromise()];
    a.then((value) => ops.say(value)); b.catch((error) => ops.say(error)); c.then((value) => ops.say(value));
    engine.resolvePromise(a, "a"); engine.resolvePromise(a, "again"); engine.rejectPromise(b, "b");
    engine.resolvePromise(c, { then(resolve) { resolve("c"); } });
    try { engine.resolvePromise({}, 1); } catch (error) { ops.say(error.name); }
  },
  refusals() {
    const why = (f) => { try { f(); ops.say("fine"); } catch (e) { ops.say(`${e.constructor.name} ${e.name}: ${e.message}`); } };
    why(() => wire.refuse("TypeError"));
    why(() => wire.refuse("RangeError"));
    why(() => wire.refuse("DataError"));
    why(() => wire.refuse(1));
    why(() => ops.echo(() => 1));
    why(() => ops.echo(1n));
    why(() => ops.echo(new Uint8Array(new SharedArrayBuffer(4))));
    const gone = new ArrayBuffer(4); gone.transfer();
    why(() => ops.echo(gone));
    const view = new Uint8Array(4); view.buffer.transfer();
    why(() => ops.echo(view));
    let deep = []; for (let i = 0; i < 100; i++) deep = [deep];
    why(() => ops.echo(deep));
  },
  microtasks() {
    ops.say("a");
    Promise.resolve().then(() => ops.say("b")).then(() => ops.say("c"));
    (async () => { await null; ops.say("d"); })();
    engine.enqueueMicrotask(() => ops.say("e"));
    engine.enqueueMicrotask(() => { throw new Error("f"); });
    engine.contextSet({ n: 4 });
    engine.enqueueMicrotask(() => ops.say(engine.contextGet().n));
    try { engine.enqueueMicrotask({}); } catch (e) { ops.say(e.name); }
  },
  rejects() {
    const p = Promise.reject(new Error("lost"));
    globalThis.p = p;
    Promise.reject(1).catch(() => {});
    const q = Promise.reject(2); engine.markHandled(q);
  },
  handles() { globalThis.p.catch(() => {}); },
  throws() { throw new TypeError("thrown"); },
  throwsLater() { globalThis.then = Promise.resolve().then(() => { }); engine.markHandled(Promise.resolve()); },
  context() {
    const frame = (n) => ({ n });
    const now = () => engine.contextGet()?.n;
    let release;
    const gate = new Promise((resolve) => { release = resolve; });
    const run = async (n) => {
      engine.contextSet(frame(n));
      await null; ops.say(`settled ${n} ${now()}`);
      await gate; ops.say(`pending ${n} ${now()}`);
      await { then(r) { ops.say(`thenable ${n} ${now()}`); r(); } };
      ops.say(`after ${n} ${now()}`);
      await new Promise((r) => Promise.resolve().then(r)); ops.say(`last ${n} ${now()}`);
    };
    run(1); run(2); engine.contextSet(undefined);
    const none = async () => { await null; await gate; ops.say(`none ${now()}`); };
    none();
    Promise.resolve().then(() => { engine.contextSet(frame(9)); release(); engine.contextSet(undefined); });
  },
  contextIsNone() { ops.say(engine.contextGet()); },
  helper() { ops.say(helper(2)); },
  clone() {
    const buffer = new ArrayBuffer(8);
    const value = { m: new Map([[1, new Set([2])]]), d: new Date(0), e: new RangeError("r"), b: buffer };
    value.self = value;
    const copy = engine.structuredClone(value, [buffer]);
    ops.say(copy !== value && copy.self === copy && copy.m.get(1).has(2) && copy.d.getTime() === 0);
    ops.say(copy.e instanceof RangeError && copy.b.byteLength === 8 && buffer.detached);
    try { engine.structuredClone(() => {}, []); } catch (e) { ops.say(`${e.constructor.name} ${e.name}`); }
    try { engine.structuredClone(1, [1]); } catch (e) { ops.say(`${e.constructor.name} ${e.name}`); }
    ops.say(engine.structuredClone("x", undefined));
  },
  inspect() {
    ops.say(engine.promiseState(new Promise(() => {})));
    ops.say(engine.promiseState(Promise.resolve(5)));
    const bad = Promise.reject(6); bad.catch(() => {});
    ops.say(engine.promiseState(bad));
    const target = { t: 1 }, handler = {};
    const [t, h] = engine.proxyDetails(new Proxy(target, handler));
    ops.say(t === target && h === handler);
    ops.say(engine.proxyDetails({}));
    ops.say(engine.proxyDetails(new Proxy(() => {}, handler))[1] === handler);
    const { proxy, revoke } = Proxy.revocable({}, {}); revoke();
    ops.say(engine.proxyDetails(proxy));
  },
  compiles() {
    const f = engine.compileFunction("dir/x.js", "\n\nreturn [a + b, new Error('x').stack];", ["a", "b"]);
    const [sum, stack] = f(1, 2);
    ops.say(sum); ops.say(/dir\/x\.js:3/.test(stack));
    try { engine.compileFunction("bad.js", "\n let 1;", []); } catch (e) { ops.say(`${e.name} ${e.fileName}:${e.lineNumber}`); }
    try { engine.compileFunction("out.js", "}); (1", []); } catch (e) { ops.say(e.name); }
    try { eval("1"); ops.say("eval"); } catch (e) { ops.say(`${e.name}: ${e.message}`); }
    try { new Function("1"); ops.say("Function"); } catch (e) { ops.say(`${e.name}`); }
  },
  features() {
    const has = {
      using: (() => { let n = 0; { using _ = { [Symbol.dispose]() { n++; } }; } return n; })(),
      iterator: typeof Iterator.from, base64: typeof Uint8Array.fromBase64, temporal: typeof Temporal,
      weak: typeof WeakRef + typeof FinalizationRegistry, capture: typeof Error.captureStackTrace,
      sab: typeof SharedArrayBuffer, wait: typeof Atomics.wait, isError: typeof Error.isError, promiseTry: typeof Promise.try,
      escape: typeof RegExp.escape, transfer: typeof ArrayBuffer.prototype.transfer, fromAsync: typeof Array.fromAsync,
      intl: typeof Intl.DateTimeFormat, wasm: typeof WebAssembly, float16: typeof Float16Array,
      concat: typeof Iterator.concat, gbk: typeof Map.prototype.getOrInsert, sum: typeof Math.sumPrecise,
    };
    ops.say(JSON.stringify(has));
  },
  cleanup() {
    globalThis.registry = new FinalizationRegistry((v) => ops.say(`gone ${v}`));
    (() => { registry.register({}, "it"); })();
  },
  collect() { engine.collect(); },
  recursion() { const f = () => f() + 1; try { f(); } catch (e) { ops.say(`${e.name}: ${e.message}`); } },
  rejection(promise, reason, handled) { ops.say(`rejection ${reason?.message ?? reason} ${handled}`); },
  uncaught(error) { ops.say(`uncaught ${error}`); },
  builtin() {}, commonJs() {},
};
engine.setHandlers(tests);
"#;

fn said(engine: &mut Engine<State>, handler: &str, args: Vec<Data>) -> Vec<Data> {
    let called = engine.call(handler, args);
    assert_eq!(called, Called::Quiet, "{handler}");
    std::mem::take(&mut engine.state().said)
}

fn texts(data: Vec<Data>) -> Vec<String> {
    data.into_iter()
        .map(|item| match item {
            Data::String(text) => text,
            Data::Bool(value) => value.to_string(),
            Data::Number(value) => value.to_string(),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn everything_in_order() {
    let mut engine = Engine::new(EngineOptions::default(), State::default(), ops()).unwrap();
    assert!(Engine::new(EngineOptions::default(), State::default(), ops()).is_err());
    let error = engine
        .evaluate_platform(&[("bad.ts", "\nlet x = ;")], "bad.ts")
        .unwrap_err();
    assert_eq!(error.name, "SyntaxError");
    assert!(error.stack.contains("mayfly:bad.ts:2:9"), "{error}");
    let error = engine
        .evaluate_platform(&[("a.ts", "import './none.ts'")], "a.ts")
        .unwrap_err();
    assert!(error.message.contains("none.ts"), "{error}");
    engine
        .evaluate_platform(
            &[
                ("boot.ts", PLATFORM),
                (
                    "lib/helper.ts",
                    "import { two } from '../two.ts'; export const helper = (x) => x * two;",
                ),
                ("two.ts", "export const two = 2;"),
            ],
            "boot.ts",
        )
        .unwrap();
    engine.set_modules(Vec::new());

    let record = Data::Record(vec![
        ("kind".into(), Data::String("é日".into())),
        (
            "list".into(),
            Data::List(vec![Data::Number(1.0), Data::Null, Data::Bytes(vec![1, 2])]),
        ),
        ("none".into(), Data::Undefined),
    ]);
    assert_eq!(said(&mut engine, "echo", vec![record.clone()]), [record]);
    let big = Data::Bytes((0..100_000u32).map(|n| n as u8).collect());
    assert_eq!(said(&mut engine, "echo", vec![big.clone()]), [big]);

    let types = texts(said(&mut engine, "types", vec![]));
    assert_eq!(
        types,
        [
            "true",
            "true",
            "true",
            "1099511627776",
            "2,3",
            "4",
            "2,1",
            "3",
            "100000",
            "\u{FFFD}x"
        ]
    );
    assert_eq!(
        texts(said(&mut engine, "starts", vec![])),
        [
            "", "1,2", "1,2,3,4", "1,2,3,4", "1,2,3,4", "1,2,3,4", "1,2,3,4"
        ]
    );
    let mut pass = |bytes: &[u8], name: &str| {
        let arguments = vec![Data::Passing(bytes.to_vec()), Data::Name(name.to_owned())];
        texts(said(&mut engine, "passing", arguments)).join(" ")
    };
    assert_eq!(pass(&[1, 2], "give"), "1,2 1");
    assert_eq!(pass(&[3, 4], "give"), "2: 3,4 1");
    assert_eq!(pass(&[], "caf\u{e9}"), "0:  2");
    assert_eq!(pass(&[1, 2, 3, 4], "\u{65e5}\u{672c}"), "4: 1,2,3,4 2");
    assert_eq!(pass(&[1, 2, 3, 4, 5], &"n".repeat(100)), "1,2,3,4,5 100");
    assert_eq!(
        pass("a\u{e9}b".as_bytes(), "text"),
        "4: 97,195,169,98 \u{c3}\u{a9} a\u{c3}\u{a9}b     4"
    );
    for round in 0..3 {
        // More names than are kept.
        for name in 1..20 {
            assert_eq!(
                pass(&[round], &"n".repeat(name)),
                format!("1: {round} {name}")
            );
        }
    }
    assert_eq!(pass(&[7], "detach"), "1:  6");
    assert_eq!(pass(&[7], "gone"), "7 4");
    assert_eq!(
        texts(said(&mut engine, "promises", vec![])),
        ["TypeError", "a", "b", "c"]
    );
    let refusals = texts(said(&mut engine, "refusals", vec![]));
    assert_eq!(
        refusals,
        [
            "TypeError TypeError: no",
            "RangeError RangeError: no",
            "DOMException DataError: no",
            "TypeError TypeError: argument 0 is a number, not a string",
            "TypeError TypeError: a function cannot be passed to a native op",
            "TypeError TypeError: a symbol or BigInt cannot be passed to a native op",
            "TypeError TypeError: shared memory cannot be passed to a native op",
            "TypeError TypeError: the ArrayBuffer is detached",
            "TypeError TypeError: the ArrayBuffer is detached",
            "RangeError RangeError: a value passed to a native op nests too deeply",
        ]
    );
    assert_eq!(
        texts(said(&mut engine, "microtasks", vec![])),
        [
            "a",
            "TypeError",
            "b",
            "d",
            "e",
            "uncaught Error: f",
            "4",
            "c"
        ]
    );
    assert_eq!(
        texts(said(&mut engine, "rejects", vec![])),
        ["rejection lost false"]
    );
    assert_eq!(
        texts(said(&mut engine, "handles", vec![])),
        ["rejection lost true"]
    );
    assert_eq!(
        texts(said(&mut engine, "throws", vec![])),
        ["uncaught TypeError: thrown"]
    );
    let context = texts(said(&mut engine, "context", vec![]));
    assert_eq!(
        context,
        [
            "settled 1 1",
            "settled 2 2",
            "pending 1 1",
            "pending 2 2",
            "none undefined",
            "thenable 1 1",
            "thenable 2 2",
            "after 1 1",
            "after 2 2",
            "last 1 1",
            "last 2 2"
        ]
    );
    assert_eq!(
        said(&mut engine, "contextIsNone", vec![]),
        [Data::Undefined]
    );
    assert_eq!(texts(said(&mut engine, "helper", vec![])), ["4"]);
    assert_eq!(
        texts(said(&mut engine, "clone", vec![])),
        [
            "true",
            "true",
            "DOMException DataCloneError",
            "DOMException DataCloneError",
            "x"
        ]
    );
    assert_eq!(
        texts(said(&mut engine, "inspect", vec![])),
        [
            "List([Number(0.0), Undefined])",
            "List([Number(1.0), Number(5.0)])",
            "List([Number(2.0), Number(6.0)])",
            "true",
            "Undefined",
            "true",
            "List([Null, Null])"
        ]
    );
    assert_eq!(
        texts(said(&mut engine, "compiles", vec![])),
        [
            "3",
            "true",
            "SyntaxError bad.js:2",
            "SyntaxError",
            "EvalError: Code generation from strings disallowed for this context",
            "EvalError"
        ]
    );
    let features = texts(said(&mut engine, "features", vec![]));
    println!("{features:?}");
    assert!(!features[0].contains("undefined"), "{features:?}");
    assert_eq!(said(&mut engine, "cleanup", vec![]), []);
    eprintln!("B");
    engine.collect();
    assert_eq!(texts(said(&mut engine, "collect", vec![])), ["gone it"]);
    assert_eq!(
        texts(said(&mut engine, "recursion", vec![])),
        ["RangeError: Maximum call stack size exceeded"]
    );
    assert!(matches!(
        engine.call("noSuchHandler", vec![]),
        Called::Quiet
    ));
    assert!(texts(std::mem::take(&mut engine.state().said))[0].starts_with("uncaught TypeError"));
}
