//! D1, against `workers/d1` and `workers/d1-other`; and what the command line does with a project's migrations.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mayfly_tests::{Server, binary, cases, signal, wait_until};

cases! {
    ["d1", "d1-other"], ["--ephemeral"];
    rows_come_in_every_form,
    values_are_bound_by_type,
    what_cannot_be_bound_is_an_error,
    a_statement_can_be_used_again,
    meta_tells_what_happened,
    errors_have_the_words_of_d1,
    a_batch_happens_whole_or_not_at_all,
    exec_runs_line_by_line,
    foreign_keys_hold_and_may_be_deferred,
    the_schema_can_be_looked_at_and_changed,
    sessions_have_bookmarks,
    many_rows_come_whole,
    databases_of_one_id_are_one_and_others_apart,
    a_question_is_a_subrequest,
    a_dynamic_worker_reaches_a_database_only_through_its_parent,
    hostile_sql_goes_nowhere,
    limits_are_errors_that_name_them,
    a_long_query_is_in_nobody_elses_way,
}

/// A project whose Worker counts what its database has, in a folder of its own that is removed at the end.
struct Project(PathBuf);

const WRANGLER: &str = r#"{
  "name": "shop", "main": "index.js", "compatibility_date": "2026-08-01",
  "d1_databases": [{ "binding": "DB", "database_name": "shop", "database_id": "0001" }],
  "env": { "staging": { "d1_databases": [{
    "binding": "DB", "database_name": "shop-staging", "database_id": "0002", "migrations_dir": "drizzle",
    "migrations_pattern": "drizzle/*/migration.sql", "migrations_table": "applied"
  }] } }
}"#;

const CODE: &str = r#"
export default {
  async fetch(request, { DB }) {
    await DB.prepare("INSERT INTO users (name) VALUES (?)").bind(request.url).run();
    const rows = await DB.prepare("SELECT count(*) AS n, max(visits) AS visits FROM users").first();
    return Response.json(rows);
  },
};
"#;

impl Project {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("mayfly-d1-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let project = Self(folder);
        project.write("wrangler.jsonc", WRANGLER);
        project.write("index.js", CODE);
        project
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file of the project");
    }

    fn state(&self) -> String {
        let state = self.0.join("state");
        state
            .to_str()
            .expect("the folder for tests is UTF-8")
            .to_owned()
    }

    /// Runs `mayfly d1`, in the project's folder: code, standard output, standard error.
    fn d1(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(binary("mayfly"))
            .arg("d1")
            .args(arguments)
            .args(["--state", &self.state()])
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .output()
            .expect("mayfly starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    }

    fn serve(&self, arguments: &[&str]) -> Server {
        let state = self.state();
        let arguments = [arguments, &["--state", &state]].concat();
        Server::start_configs(&[self.0.join("wrangler.jsonc")], &arguments)
    }

    /// Stops a server and waits until the folder is free.
    fn stop(&self, server: Server) {
        server.terminate();
        drop(server);
        wait_until("the server has let go of its folder", || {
            self.d1(&["migrations", "list", "shop"]).0 == Some(0)
        });
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_was_written_outlives_a_host_that_is_killed() {
    let folder = std::env::temp_dir().join(format!("mayfly-d1-e2e-{}", std::process::id()));
    let state = folder.to_str().expect("the folder for tests is UTF-8");
    let arguments = ["--state", state];
    let workers = ["d1", "d1-other"];
    let first = Server::start_with(&workers, &arguments);
    first.case("databases_of_one_id_are_one_and_others_apart");
    signal(first.pid(), "KILL");
    drop(first);
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("the databases' folder");
        let names = entries.flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.into_string().ok()).collect()
    };
    let there = names(&folder.join("d1"));
    for id in ["5d3c9e10-0000-4000-8000-000000000001", "apart", "SLOW"] {
        assert!(there.contains(&format!("{id}.sqlite")), "{id}: {there:?}");
    }
    let second = Server::start_with(&["d1-other"], &arguments);
    assert_eq!(second.get("/shared").body, r#"[{"a":"yes"}]"#);
    drop(second);
    // Every case on disk as in memory.
    Server::start_with(&workers, &arguments).every_case("/");
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn a_projects_migrations_work_unchanged() {
    let project = Project::new("migrations");
    let first = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);\n-- who is there\n\
        INSERT INTO users (name) VALUES ('a;b');\n";
    project.write("migrations/0001_users.sql", first);
    let trigger = "ALTER TABLE users ADD COLUMN visits INTEGER DEFAULT 0;\n\
        CREATE TRIGGER visit AFTER INSERT ON users BEGIN\n  UPDATE users SET visits = visits + 1;\nEND;\n";
    project.write("migrations/0002_visits.sql", trigger);
    project.write("migrations/notes.md", "not a migration");
    let (code, listed, said) = project.d1(&["migrations", "list", "shop"]);
    assert_eq!(
        (code, listed.lines().count()),
        (Some(0), 2),
        "{listed}{said}"
    );
    assert!(
        listed.contains("pending              0001_users.sql"),
        "{listed}"
    );
    let (code, _, said) = project.d1(&["migrations", "apply", "DB"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 migrations were applied to shop"), "{said}");
    let server = project.serve(&[]);
    assert_eq!(server.get("/").body, r#"{"n":2,"visits":1}"#);
    // The folder is the server's.
    let (code, _, said) = project.d1(&["migrations", "apply", "shop"]);
    assert_eq!(code, Some(10), "{said}");
    project.stop(server);
    // One that fails leaves nothing behind, not even what it did before it failed.
    project.write(
        "migrations/0010_bad.sql",
        "CREATE TABLE half (a);\nnonsense;",
    );
    project.write("migrations/0003_good.sql", "CREATE TABLE good (a);");
    let (code, _, said) = project.d1(&["migrations", "apply", "shop"]);
    assert_eq!(code, Some(11), "{said}");
    assert!(said.contains("applied 0003_good.sql"), "{said}");
    assert!(
        said.contains("migration 0010_bad.sql: near \"nonsense\": syntax error")
            && said.contains("statement 2 of 3"),
        "{said}"
    );
    let tables =
        "SELECT group_concat(name) AS names FROM (SELECT name FROM sqlite_schema ORDER BY name)";
    let (code, rows, said) = project.d1(&["execute", "shop", "--command", tables, "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let rows: serde_json::Value = serde_json::from_str(&rows).expect("JSON");
    let names = rows[0]["results"][0]["names"].as_str().expect("names");
    assert!(names.contains("good") && !names.contains("half"), "{names}");
    let (_, rows, _) = project.d1(&[
        "execute",
        "shop",
        "--command",
        "SELECT id, name FROM d1_migrations",
    ]);
    assert_eq!(
        rows,
        "id  name\n--  ---------------\n1   0001_users.sql\n2   0002_visits.sql\n3   0003_good.sql\n"
    );
    let (_, listed, _) = project.d1(&["migrations", "list", "shop"]);
    assert!(
        listed.contains("pending              0010_bad.sql"),
        "{listed}"
    );
    assert_eq!(listed.matches("pending").count(), 1, "{listed}");
}

#[test]
fn an_environment_has_a_database_and_migrations_of_its_own() {
    let project = Project::new("environment");
    project.write(
        "drizzle/0000_init/migration.sql",
        "CREATE TABLE users (name TEXT, visits INTEGER);",
    );
    project.write("drizzle/0000_init/snapshot.json", "{}");
    project.write(
        "drizzle/0001_more/migration.sql",
        "INSERT INTO users VALUES ('one', 7);",
    );
    let staging = ["--env", "staging"];
    let apply = [&["migrations", "apply", "shop-staging"], &staging[..]].concat();
    let (code, _, said) = project.d1(&apply);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("applied 0001_more/migration.sql"), "{said}");
    let (_, _, said) = project.d1(&apply);
    assert!(said.contains("no migration"), "{said}");
    let server = project.serve(&staging);
    assert_eq!(server.get("/").body, r#"{"n":2,"visits":7}"#);
    drop(server);
    let (code, _, said) = project.d1(&["migrations", "list", "shop"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("there is no folder"), "{said}");
}

#[test]
fn sql_is_run_by_hand_and_says_what_is_wrong() {
    let project = Project::new("execute");
    let dump = "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE a(b);\n\
        INSERT INTO a VALUES('x\x1b[2J');\nINSERT INTO a VALUES(NULL);\nCOMMIT;\n";
    project.write("dump.sql", dump);
    let (code, _, said) = project.d1(&["execute", "shop", "--file", "dump.sql"]);
    assert_eq!(code, Some(0), "{said}");
    let select = ["execute", "0001", "--command", "SELECT b FROM a"];
    let (_, rows, _) = project.d1(&select);
    assert_eq!(rows, "b\n----------\nx\\u{1b}[2J\nNULL\n");
    let (code, _, said) = project.d1(&["execute", "shop", "--command", "ATTACH 'x' AS y"]);
    assert_eq!(code, Some(11), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    let (code, _, said) = project.d1(&["execute", "shpo", "--command", "SELECT 1"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("there is no database \"shpo\" (did you mean shop?)"),
        "{said}"
    );
    let (code, _, said) = project.d1(&["execute", "shop"]);
    assert_eq!(code, Some(2), "{said}");
    let (code, _, said) = project.d1(&["execute", "shop", "--file", "missing.sql"]);
    assert_eq!(code, Some(4), "{said}");
    let (code, help, _) = project.d1(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(help.contains("mayfly d1 migrations apply"), "{help}");
}

#[test]
fn operators_list_export_import_and_delete_databases() {
    let project = Project::new("operator");
    let made = [
        "execute",
        "shop",
        "--command",
        "CREATE TABLE a (b); INSERT INTO a VALUES (42)",
    ];
    assert_eq!(project.d1(&made).0, Some(0));
    let state = |arguments: &[&str]| {
        let output = Command::new(binary("mayfly"))
            .arg("state")
            .args(arguments)
            .args(["--state", &project.state()])
            .stdin(Stdio::null())
            .output()
            .expect("mayfly starts");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let (code, listed) = state(&["list"]);
    assert_eq!(code, Some(0), "{listed}");
    assert!(listed.contains("d1:0001  1 tables, 8192 bytes"), "{listed}");
    let to = project.0.join("exported");
    let to = to.to_str().expect("the folder for tests is UTF-8");
    assert_eq!(state(&["export", "d1:0001", to]).0, Some(0));
    assert_eq!(state(&["delete", "d1:0001", "--yes"]).0, Some(0));
    assert_eq!(state(&["import", "d1:0001", to]).0, Some(0));
    let select = ["execute", "shop", "--command", "SELECT b FROM a"];
    assert_eq!(project.d1(&select).1, "b\n--\n42\n");
}

#[test]
fn a_database_that_is_named_wrongly_is_refused_with_its_place() {
    let project = Project::new("refused");
    project.write(
        "wrangler.jsonc",
        &WRANGLER.replace("\"database_id\": \"0001\"", "\"database_id\": \"../0001\""),
    );
    let (code, _, said) = project.d1(&["migrations", "list", "shop"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("wrangler.jsonc:3:20: d1_databases[0]: `database_id` must be 1 to 64"),
        "{said}"
    );
}
