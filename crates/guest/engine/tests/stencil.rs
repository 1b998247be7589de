//! Modules that were compiled before. That the bytes are used shows where they are of other code than
//! the source beside them; that they are not, where the source's own answer comes.

use mayfly_engine::{Called, Data, Engine, EngineOptions, ModuleEntry, ModuleKind, OpDecl};

type Said = Vec<String>;

fn ops() -> Vec<OpDecl<Said>> {
    vec![OpDecl {
        object: "ops",
        name: "say",
        buffers: mayfly_engine::data::Buffers::Copied,
        function: |said, args| {
            said.push(args.string(0)?);
            Ok(Data::Undefined)
        },
    }]
}

const PLATFORM: &str = r#"
const { engine, ops } = globalThis.__mayfly;
delete globalThis.__mayfly;
globalThis.say = (value) => ops.say(String(value));
engine.setHandlers({
  run(name) { engine.importModule(name).then((ns) => ns.default?.(say) , (e) => say(`failed ${e}`)); },
  rejection(promise, reason) { say(`rejection ${reason}`); },
  uncaught(error) { say(`uncaught ${error}`); },
  builtin() {}, commonJs() {},
});
"#;

fn run(engine: &mut Engine<Said>, modules: Vec<ModuleEntry>, name: &str) -> Vec<String> {
    engine.set_modules(modules);
    let called = engine.call("run", vec![Data::String(name.to_owned())]);
    assert!(matches!(called, Called::Quiet), "{called:?}");
    std::mem::take(engine.state())
}

fn js(name: &str, source: &str, compiled: Option<Vec<u8>>) -> ModuleEntry {
    ModuleEntry {
        name: name.to_owned(),
        kind: ModuleKind::Js,
        content: source.as_bytes().to_vec(),
        compiled,
    }
}

const WHOLE: &str = "import { half } from './half.js';
export default async (say) => {
  say(half(42));
  say(import.meta.url);
  say((await import('./half.js')).half(2));
  try { fails(); } catch (e) { say(`${e.message} ${e.fileName}:${e.lineNumber}:${e.columnNumber}`); }
  say(fails);
  say(/[ä-ü]+/u.exec('grüße')[0] + `${1n << 70n}` + 1.5);
};
function fails() { throw new Error('böse'); }
//# sourceMappingURL=whole.js.map
";

#[test]
fn compiled_modules() {
    let mut engine = Engine::new(EngineOptions::default(), Said::new(), ops())
        .expect("the first engine of this process");
    engine
        .evaluate_platform(&[("boot.ts", PLATFORM)], "boot.ts")
        .expect("the platform is sound");
    let half = "export const half = (n) => n / 2;";
    let parsed = run(
        &mut engine,
        vec![js("a/whole.js", WHOLE, None), js("a/half.js", half, None)],
        "a/whole.js",
    );
    assert_eq!(parsed.len(), 6, "{parsed:?}");
    let whole = engine.encode_module("a/whole.js", WHOLE.as_bytes());
    let compiled_half = engine.encode_module("a/half.js", half.as_bytes());
    assert!(whole.is_some() && compiled_half.is_some());
    let modules = vec![
        js("a/whole.js", WHOLE, whole),
        js("a/half.js", half, compiled_half),
    ];
    assert_eq!(run(&mut engine, modules, "a/whole.js"), parsed);

    let [one, two] = ["one", "two"].map(|word| format!("export default (say) => say('{word}');"));
    let compiled = engine
        .encode_module("m.js", one.as_bytes())
        .expect("it compiles");
    let mut answer = |source: &str, compiled: Vec<u8>| {
        run(
            &mut engine,
            vec![js("m.js", source, Some(compiled))],
            "m.js",
        )
        .join(",")
    };
    assert_eq!(answer(&two, compiled.clone()), "one", "the bytes are used");
    let longer = two.replace("two", "twoandthree");
    assert_eq!(answer(&longer, compiled.clone()), "twoandthree");
    assert_eq!(answer(&two, Vec::new()), "two");
    for cut in [1, 7, 100, compiled.len() - 1] {
        assert_eq!(
            answer(&two, compiled[..cut].to_vec()),
            "two",
            "cut at {cut}"
        );
    }
    for place in (0..compiled.len()).step_by(13) {
        let mut broken = compiled.clone();
        broken[place] ^= 0x41;
        assert_eq!(answer(&two, broken), "two", "byte {place}");
    }
    assert!(engine.encode_module("m.js", b"export default (").is_none());
    let after = run(&mut engine, vec![js("m.js", &one, None)], "m.js");
    assert_eq!(after, ["one"], "nothing is left pending");
}
