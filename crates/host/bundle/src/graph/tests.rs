//! Small projects on disk and what becomes of them.

use super::*;

struct Project(tempfile::TempDir);

impl Project {
    /// Files by name; the configuration is added.
    fn new(files: &[(&str, &str)]) -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            project.write(name, text);
        }
        project
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn build_with(&self, main: &str, more: &str) -> Result<(Modules, Vec<Warning>), BundleError> {
        let text =
            format!("{{\"main\": \"{main}\", \"compatibility_date\": \"2026-01-01\"{more}}}");
        self.write("wrangler.json", &text);
        let (config, _) = Config::load(&self.0.path().join("wrangler.json")).unwrap();
        crate::build(&config, &self.0.path().join(main))
    }

    fn build(&self, main: &str) -> Built {
        Built(self.build_with(main, "").unwrap().0)
    }
}

struct Built(Modules);

impl Built {
    fn kind(&self, name: &str) -> &ModuleKind {
        let found = self.0.list.iter().find(|one| one.name == name);
        &found
            .unwrap_or_else(|| panic!("{name} is not among {:?}", self.names()))
            .kind
    }

    fn text(&self, name: &str) -> String {
        self.kind(name);
        let found = self.0.list.iter().find(|one| one.name == name).unwrap();
        String::from_utf8(found.content.0.clone()).unwrap()
    }

    fn names(&self) -> Vec<&str> {
        self.0.list.iter().map(|one| one.name.as_str()).collect()
    }
}

#[test]
fn typescript_is_taken_out_and_imports_are_named() {
    let project = Project::new(&[
        (
            "src/index.ts",
            "import type { T } from './types';\nimport { a } from './util';\nimport data from \
             '../data.json';\nimport { b } from './jsname.js';\nenum E { X = 1 }\n\
             export default { fetch(r: Request): Response { return new Response(a + b + E.X + data); } };",
        ),
        ("src/util.ts", "export const a: string = 'a';"),
        ("src/jsname.ts", "export const b = 'b' as const;"),
        ("src/types.ts", "export type T = 1;"),
        ("data.json", "{}"),
    ]);
    let built = project.build("src/index.ts");
    assert_eq!(built.0.main, "src/index.ts");
    assert_eq!(
        built.names(),
        ["src/index.ts", "src/util.ts", "data.json", "src/jsname.ts"]
    );
    let text = built.text("src/index.ts");
    assert!(text.contains("from \"./util.ts\""), "{text}");
    assert!(text.contains("from \"../data.json\"") && text.contains("from \"./jsname.ts\""));
    assert!(
        !text.contains(": Request") && !text.contains("./types"),
        "{text}"
    );
    assert_eq!(built.kind("data.json"), &ModuleKind::Json {});
}

#[test]
fn javascript_keeps_every_other_character() {
    let text = "// head\nimport { a }   from './a'; /* x */ import 'cloudflare:workers';\n\
        const b = await import(`./${a}`); await import('./a.js');\n";
    let project = Project::new(&[("index.js", text), ("a.js", "export const a = 1;")]);
    let expect = text.replace("'./a'", "\"./a.js\"");
    assert_eq!(project.build("index.js").text("index.js"), expect);
}

#[test]
fn packages_are_found_by_their_conditions_and_kinds() {
    let project = Project::new(&[
        (
            "index.js",
            "import esm from 'esm'; import cjs, { named } from 'cjs/sub'; import fs from 'fs';\n\
             import '@scope/worker'; export default {};",
        ),
        (
            "node_modules/esm/package.json",
            r#"{"type": "module", "exports": {"import": "./e.js"}}"#,
        ),
        ("node_modules/esm/e.js", "export default 1;"),
        ("node_modules/cjs/package.json", r#"{"main": "main.js"}"#),
        (
            "node_modules/cjs/sub.js",
            "exports.named = require('./dep').x; exports.__esModule = true;",
        ),
        (
            "node_modules/cjs/dep/index.js",
            "module.exports = { x: 1 };",
        ),
        (
            "node_modules/@scope/worker/package.json",
            r#"{"exports": {".": {"node": "./n.js", "workerd": "./w.mjs", "default": "./d.js"}}}"#,
        ),
        ("node_modules/@scope/worker/w.mjs", "export {};"),
    ]);
    let built = project.build("index.js");
    let text = built.text("index.js");
    assert!(text.contains("from \"./node_modules/esm/e.js\""), "{text}");
    assert!(
        text.contains("from \"./node_modules/cjs/sub.js.default.mjs\""),
        "{text}"
    );
    assert!(text.contains("import fs from \"node:fs\""), "{text}");
    assert!(
        text.contains("import \"./node_modules/@scope/worker/w.mjs\""),
        "{text}"
    );
    assert_eq!(
        built.kind("node_modules/cjs/sub.js"),
        &ModuleKind::CommonJs {}
    );
    let sub = built.text("node_modules/cjs/sub.js");
    assert!(
        sub.starts_with("exports.named = require(\"./dep/index.js\").x;"),
        "{sub}"
    );
    let front = built.text("node_modules/cjs/sub.js.default.mjs");
    assert!(
        front.starts_with("import whole from \"./sub.js\";"),
        "{front}"
    );
    assert!(
        front.contains("as \"named\"") && !front.contains("as \"__esModule\""),
        "{front}"
    );
}

#[test]
fn names_pass_through_files_that_pass_them_on() {
    let project = Project::new(&[
        ("package.json", r#"{"type": "module"}"#),
        ("index.js", "import * as all from 'p'; export default all;"),
        (
            "node_modules/p/index.js",
            "if (process.env.NODE_ENV === 'production') module.exports = require('./prod.js');\n\
             else module.exports = require('./dev.js');",
        ),
        ("node_modules/p/prod.js", "exports.one = 1;"),
        ("node_modules/p/dev.js", "exports.two = 2;"),
    ]);
    let built = project.build("index.js");
    assert!(
        built
            .text("node_modules/p/index.js")
            .starts_with("if (\"production\" === ")
    );
    let front = built.text("node_modules/p/index.js.node.mjs");
    assert!(
        front.contains("as \"one\"") && front.contains("as \"two\""),
        "{front}"
    );
    assert!(front.contains("export default whole;"), "{front}");
}

#[test]
fn rules_and_endings_say_what_a_file_is() {
    let files = [
        (
            "index.js",
            "import a from './a.txt'; import b from './b.wasm?module';\n\
            import c from './c.md'; import { d } from './d.json'; import e from './e.cjs';",
        ),
        ("a.txt", "a"),
        ("b.wasm", "b"),
        ("c.md", "c"),
        ("d.json", "{\"d\": 1}"),
        ("e.cjs", "return;"),
    ];
    let project = Project::new(&files);
    let error = project.build_with("index.js", "").unwrap_err().to_string();
    assert!(
        error.starts_with("index.js:2:15: \"./c.md\" is "),
        "{error}"
    );
    assert!(error.ends_with("add one to `rules`"), "{error}");
    let rules = r#", "rules": [{"type": "Text", "globs": ["**/*.md"], "fallthrough": true}]"#;
    let built = Built(project.build_with("index.js", rules).unwrap().0);
    assert_eq!(built.kind("a.txt"), &ModuleKind::Text {});
    assert_eq!(built.kind("b.wasm"), &ModuleKind::Wasm {});
    assert_eq!(built.kind("c.md"), &ModuleKind::Text {});
    assert_eq!(built.kind("e.cjs"), &ModuleKind::CommonJs {});
    assert!(built.text("d.json.node.mjs").contains("as \"d\""));
}

#[test]
fn what_is_missing_is_named_with_its_importer() {
    let project = Project::new(&[
        (
            "src/index.ts",
            "interface A {}\n\nimport { x } from './utl';\nimport 'hno';\nx();",
        ),
        ("src/util.ts", ""),
        ("node_modules/hono/package.json", "{}"),
    ]);
    let error = project
        .build_with("src/index.ts", "")
        .unwrap_err()
        .to_string();
    let expect = "src/index.ts:3:19: cannot find \"./utl\" (did you mean ./util.ts?)\n\
        src/index.ts:4:8: cannot find \"hno\" (did you mean hono?)";
    assert_eq!(error, expect);
}

#[test]
fn what_may_never_run_only_warns() {
    let project = Project::new(&[
        ("index.js", "import('./gone.js'); import './c.cjs';"),
        (
            "c.cjs",
            "try { require('gone-a') } catch {}\nrequire('gone-b')",
        ),
    ]);
    let (_, warnings) = project.build_with("index.js", "").unwrap();
    let shown: Vec<String> = warnings.iter().map(Diagnostic::to_string).collect();
    let expect = [
        "index.js:1:8: cannot find \"./gone.js\"",
        "c.cjs:2:9: cannot find \"gone-b\"; is the package installed?",
    ];
    assert_eq!(shown, expect);
}

#[test]
fn syntax_errors_name_their_place() {
    let project = Project::new(&[("index.ts", "let a: number = 1;\nlet = ;")]);
    let error = project.build_with("index.ts", "").unwrap_err().to_string();
    assert!(error.starts_with("index.ts:2:"), "{error}");
}

#[test]
fn jsx_follows_the_configuration() {
    let jsx = "export default <a b={1}><></></a>;";
    let project = Project::new(&[
        ("index.jsx", jsx),
        ("node_modules/h/jsx-runtime.js", "export {}"),
    ]);
    let with =
        |more: &str| Built(project.build_with("index.jsx", more).unwrap().0).text("index.jsx");
    assert!(with("").contains("React.createElement(\"a\""));
    let named = with(r#", "jsx_factory": "h", "jsx_fragment": "F""#);
    assert!(
        named.contains("h(\"a\"") && named.contains("h(F"),
        "{named}"
    );
    project.write(
        "tsconfig.json",
        r#"{"compilerOptions": {"jsx": "react-jsx", "jsxImportSource": "h"}}"#,
    );
    let automatic = with("");
    assert!(
        automatic.contains("from \"./node_modules/h/jsx-runtime.js\""),
        "{automatic}"
    );
}

#[test]
fn aliases_and_tsconfig_paths_are_followed() {
    let project = Project::new(&[
        (
            "src/index.ts",
            "import 'old/x'; import a from '@lib/a'; a();",
        ),
        ("lib/a.ts", "export default () => 1;"),
        ("shim/x.js", "export {};"),
        (
            "tsconfig.json",
            r#"{"compilerOptions": {"paths": {"@lib/*": ["./lib/*"]}}}"#,
        ),
    ]);
    let built = project
        .build_with("src/index.ts", r#", "alias": {"old": "./shim"}"#)
        .unwrap()
        .0;
    let text = Built(built).text("src/index.ts");
    assert!(
        text.contains("\"../shim/x.js\"") && text.contains("\"../lib/a.ts\""),
        "{text}"
    );
}

#[test]
fn files_nothing_imports_are_added_when_asked() {
    let project = Project::new(&[
        (
            "src/index.js",
            "export default (l) => import(`./lang/${l}.js`);",
        ),
        ("src/lang/en.js", "import '../util';"),
        ("src/util.ts", "export {};"),
    ]);
    let more = r#", "find_additional_modules": true,
        "rules": [{"type": "ESModule", "globs": ["lang/*.js"]}]"#;
    let built = Built(project.build_with("src/index.js", more).unwrap().0);
    assert_eq!(
        built.names(),
        ["src/index.js", "src/lang/en.js", "src/util.ts"]
    );
    assert_eq!(built.text("src/lang/en.js"), "import \"../util.ts\";");
}

#[test]
fn names_lead_from_one_module_to_another() {
    let check = |from: &str, to: &str, expect: &str| assert_eq!(relative(from, to), expect);
    check("a.js", "b.js", "./b.js");
    check("src/a.js", "src/b.js", "./b.js");
    check("src/a.js", "b.js", "../b.js");
    check("src/x/a.js", "src/y/b.js", "../y/b.js");
    check("a.js", "src/b.js", "./src/b.js");
    check("src/a.js", "src", "../src");
    let name = |root: &str, path: &str| name_of(Path::new(root), Path::new(path)).unwrap();
    assert_eq!(name("/p/app", "/p/app/src/a.js"), "src/a.js");
    assert_eq!(
        name("/p/app", "/p/node_modules/x/i.js"),
        "_up/node_modules/x/i.js"
    );
}

#[test]
fn without_bundling_types_are_taken_out_where_the_flag_asks() {
    let project = Project::new(&[("main.js", "export const a: number = 1;\n")]);
    let kept = project
        .build_with("main.js", ", \"no_bundle\": true")
        .unwrap();
    assert!(Built(kept.0).text("main.js").contains(": number"));
    let flag = ", \"no_bundle\": true, \"compatibility_flags\": [\"experimental\", \"typescript_strip_types\"]";
    let stripped = project.build_with("main.js", flag).unwrap();
    assert!(
        Built(stripped.0)
            .text("main.js")
            .starts_with("export const a = 1;\n")
    );
    project.write("main.js", "export const a: = 1;");
    let error = project.build_with("main.js", flag).unwrap_err();
    assert!(error.to_string().contains("main.js:1:"), "{error}");
}
