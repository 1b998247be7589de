//! What a wrangler project says besides its code: environments, secrets, definitions, its version.

use std::path::{Path, PathBuf};
use std::process::Command;

use mayfly_tests::{Server, binary};

const WRANGLER: &str = r#"{
  "name": "app", "main": "index.ts", "compatibility_date": "2026-08-01",
  "vars": { "STAGE": "production" },
  "secrets": { "required": ["API_KEY"] },
  "define": { "BUILD": "\"b1\"", "config.debug": "false" },
  "version_metadata": { "binding": "VERSION" },
  "env": { "staging": {
    "vars": { "STAGE": "staging" },
    "secrets": { "required": ["API_KEY"] },
    "define": { "BUILD": "\"b2\"", "config.debug": "true" }
  } }
}"#;

const CODE: &str = r#"
declare const BUILD: string;
declare const config: { debug: boolean };
export default {
  fetch(request: Request, env: Record<string, any>) {
    const { STAGE, API_KEY, VERSION } = env;
    return Response.json({ STAGE, API_KEY, VERSION, BUILD, debug: config.debug });
  },
};
"#;

/// A project of its own for one test, removed at the end.
struct Project(PathBuf);

impl Project {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("mayfly-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the test");
        let both = [("wrangler.jsonc", WRANGLER), ("index.ts", CODE)];
        for (name, text) in both.iter().chain(files) {
            std::fs::write(folder.join(name), text).expect("a file of the project");
        }
        Self(folder)
    }

    fn config(&self) -> PathBuf {
        self.0.join("wrangler.jsonc")
    }

    fn answer(&self, arguments: &[&str]) -> serde_json::Value {
        let server = Server::start_configs(&[self.config()], arguments);
        serde_json::from_str(&server.get("/").body).expect("JSON")
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Exit code and standard error of a `serve` that does not get as far as serving.
fn refused(config: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(binary("mayfly"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(config)
        .args(arguments)
        .output()
        .expect("mayfly runs");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn an_environment_has_its_own_variables_secrets_and_definitions() {
    let files = [
        (".dev.vars", "API_KEY=top # the key\n"),
        (
            ".dev.vars.staging",
            "API_KEY=\"for staging\"\nSTAGE=\"from the file\"\n",
        ),
    ];
    let project = Project::new("environment", &files);
    let top = project.answer(&[]);
    assert_eq!(
        (&top["STAGE"], &top["API_KEY"], &top["BUILD"], &top["debug"]),
        (
            &"production".into(),
            &"top".into(),
            &"b1".into(),
            &false.into()
        )
    );
    let staging = project.answer(&["--env", "staging"]);
    assert_eq!(
        (
            &staging["STAGE"],
            &staging["API_KEY"],
            &staging["BUILD"],
            &staging["debug"]
        ),
        (
            &"from the file".into(),
            &"for staging".into(),
            &"b2".into(),
            &true.into()
        )
    );
}

#[test]
fn a_version_is_its_codes() {
    let project = Project::new("version", &[("secrets.txt", "API_KEY=given")]);
    let file = project.0.join("secrets.txt");
    let arguments = ["--env-file", file.to_str().expect("a path of UTF-8")];
    let first = project.answer(&arguments);
    assert_eq!(first["API_KEY"], "given");
    let id = |answer: &serde_json::Value| answer["VERSION"]["id"].as_str().map(str::to_owned);
    assert_eq!(id(&first).map(|id| id.len()), Some(36), "{first}");
    assert_eq!(id(&project.answer(&arguments)), id(&first));
    std::fs::write(project.0.join("index.ts"), format!("{CODE}\n// changed")).expect("a change");
    assert_ne!(id(&project.answer(&arguments)), id(&first));
}

#[test]
fn what_is_missing_or_wrong_is_told_by_place() {
    let project = Project::new("wrong", &[]);
    let (code, said) = refused(&project.config(), &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("the secret \"API_KEY\" is missing"), "{said}");
    assert!(said.contains("wrangler.jsonc:4:"), "{said}");
    let (code, said) = refused(&project.config(), &["--env", "stagin"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("did you mean staging?"), "{said}");
    let wrong = WRANGLER.replace("\"false\"", "\"not an expression\"");
    std::fs::write(project.config(), wrong).expect("a configuration");
    std::fs::write(project.0.join(".dev.vars"), "API_KEY=x").expect("secrets");
    let (code, said) = refused(&project.config(), &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("define.config.debug: must be one expression"),
        "{said}"
    );
    assert!(said.contains("wrangler.jsonc:5:"), "{said}");
}

#[test]
fn a_project_is_built_by_its_own_command_first() {
    let project = Project::new("build", &[(".dev.vars", "API_KEY=x")]);
    let code = "export default { fetch: () => new Response('built') }";
    let built = format!(
        r#"{{ "main": "dist/out.js", "compatibility_date": "2026-08-01",
        "build": {{ "command": "mkdir -p dist && echo \"{code}\" > dist/out.js" }} }}"#
    );
    std::fs::write(project.config(), built).expect("a configuration");
    let server = Server::start_configs(&[project.config()], &[]);
    assert_eq!(server.get("/").body, "built");
    let failing = r#"{ "main": "x.js", "compatibility_date": "2026-08-01",
        "build": { "command": "exit 3" } }"#;
    std::fs::write(project.config(), failing).expect("a configuration");
    let (code, said) = refused(&project.config(), &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("`exit 3` ended with exit status: 3"),
        "{said}"
    );
}
