//! Files and what is said about them.

use mayfly_wire::{Limits, ModuleKind};

use super::*;
use crate::check_all;
use crate::config::{BindingValue, Caps};

/// A configuration in a folder of its own that has `index.js`.
struct Project(PathBuf);

impl Project {
    fn new(test: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("mayfly-config-{}-{test}", std::process::id()));
        std::fs::create_dir_all(folder.join("src")).unwrap();
        std::fs::write(folder.join("index.js"), "").unwrap();
        std::fs::write(folder.join("src/main.js"), "").unwrap();
        Self(folder)
    }

    fn read(
        &self,
        name: &str,
        text: &str,
        environment: Option<&str>,
    ) -> Result<(Config, Vec<Warning>), ConfigError> {
        let source = Source {
            path: self.0.join(name),
            text: text.to_owned(),
        };
        config(&source, environment)
    }

    /// Messages without the folder.
    fn errors(&self, name: &str, text: &str) -> String {
        let error = self.read(name, text, None).unwrap_err().to_string();
        error.replace(&format!("{}/", self.0.display()), "")
    }

    fn warnings(&self, text: &str, environment: Option<&str>) -> Vec<String> {
        let (_, warnings) = self.read("w.jsonc", text, environment).unwrap();
        let folder = format!("{}/", self.0.display());
        let shown = warnings
            .iter()
            .map(|warning| warning.to_string().replace(&folder, ""));
        shown.collect()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const FULL: &str = r#"{
  "$schema": "x", // ignored
  "name": "parent",
  "main": "src/main.js",
  "compatibility_date": "2024-09-23",
  "compatibility_flags": ["nodejs_compat", "experimental"],
  "no_bundle": true,
  "find_additional_modules": true,
  "base_dir": ".",
  "rules": [{"type": "ESModule", "globs": ["**/*.js"], "fallthrough": true}, {"type": "Data", "globs": []}],
  "vars": {"TEXT": "a", "JSON": {"b": [1.50, null]}, "N": 1e3},
  "services": [
    {"binding": "SELF", "service": "parent", "entrypoint": "Named", "props": {"k": 1}},
    {"binding": "OTHER", "service": "other"}
  ],
  "worker_loaders": [{"binding": "LOADER"}, {"binding": "SHARED", "id": "s", "jitless": true, "limits": {"cpu_ms": 20, "memory_mb": 64}}],
  "global_outbound": {"service": "other"},
  "limits": {"cpu_ms": 50, "subrequests": 10},
  "mayfly_limits": {"wall_ms": 9000, "startup_ms": 100, "workers_in_flight": 4},
  "dev": {"ip": "127.0.0.1", "port": 8000},
  "alias": {"a": "./b.js"}
}"#;

#[test]
fn a_full_file_is_read() {
    let project = Project::new("full");
    let (config, warnings) = project.read("w.jsonc", FULL, None).unwrap();
    assert_eq!(warnings, vec![]);
    assert_eq!(config.name, "parent");
    assert_eq!((config.name_at.line, config.name_at.column), (3, 11));
    assert_eq!(config.main, Some(project.0.join("src/main.js")));
    assert!(config.enabled_flags.contains(&"nodejs_compat_v2"));
    assert!(config.enabled_flags.contains(&"experimental"));
    let values: Vec<(&str, &BindingValue)> = config
        .bindings
        .iter()
        .map(|one| (one.name.as_str(), &one.value))
        .collect();
    let [text, json, number, own, other, loader, shared] = values[..] else {
        panic!("{values:?}");
    };
    assert_eq!(text, ("TEXT", &BindingValue::Text("a".to_owned())));
    assert_eq!(
        json,
        (
            "JSON",
            &BindingValue::Json(r#"{"b":[1.50,null]}"#.to_owned())
        )
    );
    assert_eq!(number, ("N", &BindingValue::Json("1e3".to_owned())));
    let BindingValue::Service(target) = own.1 else {
        panic!("{own:?}");
    };
    assert_eq!((target.service.as_str(), target.at.line), ("parent", 13));
    assert_eq!(target.entrypoint.as_deref(), Some("Named"));
    assert_eq!(target.props.as_deref(), Some(r#"{"k":1}"#));
    assert_eq!(other.0, "OTHER");
    assert_eq!(
        loader.1,
        &BindingValue::Loader {
            id: None,
            jitless: false,
            limits: Caps::default()
        }
    );
    assert_eq!(
        shared.1,
        &BindingValue::Loader {
            id: Some("s".to_owned()),
            jitless: true,
            limits: Caps {
                cpu_ms: Some(20),
                memory_mb: Some(64),
                ..Caps::default()
            }
        }
    );
    assert!(matches!(&config.outbound, Outbound::Service(target) if target.service == "other"));
    assert_eq!(
        config.limits,
        Limits {
            cpu_ms: Some(50),
            sub_requests: Some(10)
        }
    );
    assert_eq!(
        config.caps,
        Caps {
            wall_ms: Some(9000),
            startup_ms: Some(100),
            workers_in_flight: Some(4),
            ..Caps::default()
        }
    );
    assert_eq!(config.dev.port, Some(8000));
    assert!(config.modules.no_bundle && config.modules.find_additional_modules);
    assert_eq!(config.modules.rules[0].kind, ModuleKind::Js {});
    assert!(config.modules.rules[0].fallthrough && !config.modules.rules[1].fallthrough);
    assert_eq!(
        config.modules.alias,
        vec![("a".to_owned(), "./b.js".to_owned())]
    );
}

#[test]
fn toml_means_the_same() {
    let project = Project::new("toml");
    let text = "name = 'a'\nmain = 'index.js'\ncompatibility_date = 2024-09-23\n\
        [vars]\nA = 'x'\nB = { c = 1 }\n[[services]]\nbinding = 'S'\nservice = 'a'\n\
        [[worker_loaders]]\nbinding = 'L'\n[[rules]]\ntype = 'Text'\nglobs = ['**/*.md']\n";
    let (config, warnings) = project.read("wrangler.toml", text, None).unwrap();
    assert_eq!(warnings, vec![]);
    let names: Vec<&str> = config
        .bindings
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["A", "B", "S", "L"]);
    assert_eq!(config.compatibility_date, "2024-09-23");
    assert_eq!(config.outbound, Outbound::Internet);
}

#[test]
fn a_small_file_has_defaults() {
    let project = Project::new("small");
    let text =
        r#"{"main": "index.js", "compatibility_date": "2026-01-01", "global_outbound": null}"#;
    let (config, _) = project.read("w.json", text, None).unwrap();
    assert_eq!(
        (config.name.as_str(), config.outbound),
        ("worker", Outbound::Blocked)
    );
    assert_eq!(config.modules.base_dir, project.0);
    let warnings = project.warnings(r#"{"main": "index.js"}"#, None);
    assert!(warnings[0].starts_with("w.jsonc:1:1: `compatibility_date` is missing"));
}

/// Checks the one message about a file of one line, after `main` and the date.
fn check_error(test: &str, field: &str, expect: &str) {
    let project = Project::new(test);
    let text =
        format!("{{\"main\": \"index.js\", \"compatibility_date\": \"2026-01-01\",\n{field}}}");
    assert_eq!(project.errors("w.json", &text), expect);
}

#[test]
fn wrong_fields_are_named_with_what_is_allowed() {
    let check = |field: &str, expect: &str| check_error("wrong", field, expect);
    check(
        "\"mian\": 1",
        "w.json:2:1: mian: is not a key of a wrangler file (did you mean main?)",
    );
    check(
        "\"name\": 1",
        "w.json:2:9: name: must be a string, not the number 1",
    );
    check(
        "\"name\": \"a b\"",
        "w.json:2:9: name: must be 1 to 63 letters, digits, dashes and underscores, not \"a b\"",
    );
    check(
        "\"vars\": []",
        "w.json:2:9: vars: must be an object, not a list",
    );
    check(
        "\"no_bundle\": \"yes\"",
        "w.json:2:14: no_bundle: must be true or false, not the string \"yes\"",
    );
    check(
        "\"services\": {}",
        "w.json:2:13: services: must be a list, not an object",
    );
    check(
        "\"services\": [{\"binding\": \"A\", \"servce\": \"b\"}]",
        "w.json:2:14: services[0]: `service` is missing\n\
         w.json:2:31: services[0].servce: is not a key (did you mean service?); allowed here are \
         binding, service, entrypoint, props, environment, remote",
    );
    check(
        "\"services\": [{\"binding\": \"\", \"service\": \"b\", \"props\": 3}]",
        "w.json:2:26: services[0].binding: must not be empty\n\
         w.json:2:55: services[0].props: must be an object, not the number 3",
    );
    check(
        "\"rules\": [{\"type\": \"EsModule\", \"globs\": [1]}]",
        "w.json:2:20: rules[0].type: is \"EsModule\", which is no module type (did you mean \
         ESModule?); allowed are ESModule, CommonJS, CompiledWasm, Text, Data\n\
         w.json:2:42: rules[0].globs[0]: must be a string, not the number 1",
    );
    check(
        "\"limits\": {\"cpu_ms\": 0.5}",
        "w.json:2:22: limits.cpu_ms: must be a whole number from 1 to 300000, not the number 0.5",
    );
    check(
        "\"mayfly_limits\": {\"memory_mb\": 8, \"cpu_ms\": 5}",
        "w.json:2:32: mayfly_limits.memory_mb: must be a whole number from 16 to 4095, not the \
         number 8\n\
         w.json:2:35: mayfly_limits.cpu_ms: is not a key; allowed here are wall_ms, startup_ms, \
         memory_mb, workers_in_flight",
    );
    check(
        "\"global_outbound\": \"none\"",
        "w.json:2:20: global_outbound: must be an object, not the string \"none\"",
    );
    check(
        "\"worker_loaders\": [{\"binding\": \"L\", \"id\": null}]",
        "w.json:2:43: worker_loaders[0].id: must be a string, not null",
    );
    check(
        "\"compatibility_flags\": [\"nodejs_compat\", \"nodejs_alss\"]",
        "w.json:2:42: compatibility_flags[1]: No such compatibility flag: nodejs_alss (did you \
         mean nodejs_als?)",
    );
    check(
        "\"dev\": {\"port\": 70000}",
        "w.json:2:17: dev.port: must be a whole number from 0 to 65535, not the number 70000",
    );
    check(
        "\"base_dir\": \"src\"",
        "w.json:2:13: base_dir: must be a folder that `main` is in; it is index.js",
    );
}

#[test]
fn bindings_of_one_name_are_refused() {
    let project = Project::new("twice");
    let text = "{\"main\": \"index.js\", \"compatibility_date\": \"2026-01-01\",\n\
        \"vars\": {\"A\": \"\"}, \"worker_loaders\": [{\"binding\": \"A\"}]}";
    let expect =
        "w.json:2:39: worker_loaders[0]: the binding \"A\" is already defined at w.json:2:15";
    assert_eq!(project.errors("w.json", text), expect);
}

#[test]
fn what_is_missing_is_named() {
    let project = Project::new("missing");
    let errors = project.errors(
        "w.json",
        "{\"main\": \"no.js\", \"compatibility_date\": \"x\"}",
    );
    assert!(
        errors.starts_with("w.json:1:10: main: there is no file"),
        "{errors}"
    );
    assert!(
        errors.contains("w.json:1:41: compatibility_date: \"x\" is not"),
        "{errors}"
    );
    let errors = project.errors("w.json", "{}");
    assert_eq!(
        errors,
        "w.json:1:1: `main` is missing: the path of the Worker's main module"
    );
    let error = Config::load(Path::new("/nowhere/w.json"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot read /nowhere/w.json: "),
        "{error}"
    );
}

#[test]
fn a_database_is_found_by_its_id_and_its_migrations_by_their_folder() {
    let project = Project::new("d1");
    let read = |entry: &str| {
        let text = format!(
            "{{\"main\": \"index.js\", \"compatibility_date\": \"2026-01-01\",\n\
             \"d1_databases\": [{entry}]}}"
        );
        let (config, _) = project.read("w.jsonc", &text, None).unwrap();
        match config.bindings[0].value.clone() {
            BindingValue::D1(database) => database,
            other => panic!("{other:?}"),
        }
    };
    let whole = read(
        r#"{"binding": "DB", "database_name": "n", "database_id": "5b7e-1", "preview_database_id": "p",
            "migrations_dir": "./drizzle/", "migrations_table": "done",
            "migrations_pattern": "drizzle/*/migration.sql"}"#,
    );
    assert_eq!(
        (whole.id.as_str(), whole.name.as_deref()),
        ("5b7e-1", Some("n"))
    );
    assert_eq!(whole.migrations_dir, "drizzle");
    assert_eq!(whole.migrations_pattern, "*/migration.sql");
    assert_eq!(whole.migrations_table, "done");
    let small = read(r#"{"binding": "DB"}"#);
    assert_eq!((small.id.as_str(), small.name), ("DB", None));
    assert_eq!(small.migrations_dir, "migrations");
    assert_eq!(small.migrations_pattern, "*.sql");
    assert_eq!(small.migrations_table, "d1_migrations");
    assert_eq!(read(r#"{"binding": "DB", "database_name": "n"}"#).id, "n");
}

#[test]
fn a_database_that_is_wrong_is_named() {
    let check = |entry: &str, expect: &str| {
        check_error("d1-wrong", &format!("\"d1_databases\": [{entry}]"), expect);
    };
    check(
        "{\"database_id\": \"a\"}",
        "w.json:2:18: d1_databases[0]: `binding` is missing",
    );
    check(
        "{\"binding\": \"DB\", \"database_id\": \"../x\"}",
        "w.json:2:18: d1_databases[0]: `database_id` must be 1 to 64 letters, digits, dashes and \
         underscores, not \"../x\"",
    );
    check(
        "{\"binding\": \"DB\", \"databse_id\": \"a\"}",
        "w.json:2:36: d1_databases[0].databse_id: is not a key (did you mean database_id?); allowed \
         here are binding, database_name, database_id, preview_database_id, migrations_dir, \
         migrations_table, migrations_pattern, database_internal_env, remote, experimental_remote",
    );
    check(
        "{\"binding\": \"DB\", \"migrations_pattern\": \"a/*.sql\"}",
        "w.json:2:18: d1_databases[0]: `migrations_pattern` needs `migrations_dir` beside it",
    );
    check(
        "{\"binding\": \"DB\", \"migrations_dir\": \"a\", \"migrations_pattern\": \"ab/*.sql\"}",
        "w.json:2:18: d1_databases[0]: `migrations_pattern` must begin with \"a/\", as \
         `migrations_dir` says, such as \"a/*/migration.sql\"; it is \"ab/*.sql\"",
    );
}

#[test]
fn known_keys_without_effect_warn_by_name() {
    let project = Project::new("warn");
    let text = "{\"main\": \"index.js\", \"compatibility_date\": \"2026-01-01\",\n\
        \"vectorize\": [{\"binding\": \"V\"}], \"workers_dev\": true,\n\
        \"services\": [{\"binding\": \"A\", \"service\": \"b\", \"remote\": true}]}";
    assert_eq!(
        project.warnings(text, None),
        [
            "w.jsonc:2:1: vectorize: is known but not supported yet; it is ignored",
            "w.jsonc:2:34: workers_dev: is about hosting on Cloudflare; it has no effect here",
            "w.jsonc:3:47: services[0].remote: is known but not supported yet; it is ignored",
        ]
    );
}

#[test]
fn environments_inherit_what_they_may() {
    let project = Project::new("env");
    let text = r#"{"name": "a", "main": "index.js", "compatibility_date": "2026-01-01",
        "vars": {"A": "top"}, "limits": {"cpu_ms": 5},
        "env": {"one": {"vars": {"A": "one"}, "compatibility_date": "2025-01-01"},
                "two": {"name": "own"}, "bad": {"dev": {}}}}"#;
    let (one, warnings) = project.read("w.jsonc", text, Some("one")).unwrap();
    assert_eq!(warnings, vec![]);
    assert_eq!(one.name, "a-one");
    assert_eq!(one.compatibility_date, "2025-01-01");
    assert_eq!(one.bindings[0].value, BindingValue::Text("one".to_owned()));
    assert_eq!(one.limits.cpu_ms, Some(5));
    let (two, _) = project.read("w.jsonc", text, Some("two")).unwrap();
    assert_eq!((two.name.as_str(), two.bindings.len()), ("own", 0));
    let expect = "w.jsonc:2:9: vars: is not inherited by env.two, which does not set it";
    assert_eq!(project.warnings(text, Some("two")), [expect]);
    let bad = project
        .read("w.jsonc", text, Some("bad"))
        .unwrap_err()
        .to_string();
    assert!(
        bad.contains("env.bad.dev: may only stand at the top"),
        "{bad}"
    );
    let none = project
        .read("w.jsonc", text, Some("tow"))
        .unwrap_err()
        .to_string();
    assert!(
        none.contains("no environment \"tow\" (did you mean two?)"),
        "{none}"
    );
}

#[test]
fn workers_are_checked_against_each_other() {
    let project = Project::new("all");
    let worker = |name: &str, service: &str| {
        let text = format!(
            "{{\"name\": \"{name}\", \"main\": \"index.js\", \"compatibility_date\": \
             \"2026-01-01\",\n\"services\": [{{\"binding\": \"S\", \"service\": \"{service}\"}}]}}"
        );
        project
            .read(&format!("{name}.json"), &text, None)
            .unwrap()
            .0
    };
    let (front, back) = (worker("front", "back"), worker("back", "back"));
    assert_eq!(check_all(&[front.clone(), back.clone()]), Ok(()));
    let folder = format!("{}/", project.0.display());
    let error = check_all(std::slice::from_ref(&front))
        .unwrap_err()
        .to_string()
        .replace(&folder, "");
    let expect = "front.json:2:42: S: no Worker is named \"back\"; configured here: front";
    assert_eq!(error, expect);
    let error = check_all(&[back.clone(), back])
        .unwrap_err()
        .to_string()
        .replace(&folder, "");
    let expect =
        "back.json:1:10: name: a Worker named \"back\" is already defined at back.json:1:10";
    assert_eq!(error, expect);
}
