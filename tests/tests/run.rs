//! `mayfly run`: what goes to which stream, and how it ends.

#![expect(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::process::{Command, Output};

use mayfly_tests::binary;

/// Runs a module of this name and source.
fn run(name: &str, source: &str, arguments: &[&str]) -> Output {
    let folder = std::env::temp_dir().join(format!("mayfly-run-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(name);
    std::fs::write(&file, source).unwrap();
    let output = Command::new(binary("mayfly"))
        .arg("run")
        .arg(&file)
        .args(arguments)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    output
}

/// Exit code, standard output, standard error.
fn ended(output: &Output) -> (i32, &str, &str) {
    (
        output.status.code().unwrap(),
        std::str::from_utf8(&output.stdout).unwrap(),
        std::str::from_utf8(&output.stderr).unwrap(),
    )
}

#[test]
fn a_fetch_handler_gets_one_request() {
    let source = r#"export default { fetch(request) {
      console.log("asked");
      console.error("warned");
      return new Response(request.method + " " + request.url, { status: 418 });
    } };"#;
    let output = run("tea.js", source, &["--url", "http://tea.example/pot?a=1"]);
    let (code, out, err) = ended(&output);
    assert_eq!(code, 0, "{err}");
    assert_eq!(out, "asked\nGET http://tea.example/pot?a=1");
    assert_eq!(err, "warned\n418 I'm a teapot\n");
}

#[test]
fn a_script_has_its_result_printed() {
    let output = run("sum.js", "export default () => 1 + 1;", &[]);
    assert_eq!(ended(&output), (0, "2\n", ""));
}

#[test]
fn what_is_thrown_is_told_once_with_its_place() {
    let output = run("thrown.js", "export default () => { null.x };", &[]);
    let (code, out, err) = ended(&output);
    assert_eq!((code, out), (1, ""));
    let first = "TypeError: can't access property \"x\" of null\n    at default (thrown.js:1:24)\n";
    assert!(err.starts_with(first), "{err}");
    assert_eq!(err.matches("TypeError").count(), 1, "{err}");
}

#[test]
fn what_does_not_parse_is_told_once_with_its_place() {
    let source = "export default {\n  fetch() { return new Response(\"x\" }\n}";
    let output = run("wrong.js", source, &[]);
    let told = "SyntaxError: missing ) after argument list\n    at wrong.js:2:37\n";
    assert_eq!(ended(&output), (1, "", told));
}

#[test]
fn a_module_that_is_missing_is_named() {
    let output = run("lonely.js", "import \"./nobody.js\";", &[]);
    let told = "Error: No such module \"./nobody.js\", imported from \"lonely.js\".\n";
    assert_eq!(ended(&output), (1, "", told));
}
