//! What `migrations` make of the objects of a class: they stay what they were under a new name and in
//! another Worker, and are gone when their class is deleted. A migration that cannot be applied is an error
//! that names its place, and loses nothing.

#![expect(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mayfly_tests::{Server, binary};

/// Counts in both ways of storing. `/facet` counts in a facet alone, `/kind` says what the class may use.
const CODE: &str = r#"
import { DurableObject } from "cloudflare:workers";
export class Below extends DurableObject {
  next() {
    const count = (this.ctx.storage.kv.get("count") ?? 0) + 1;
    this.ctx.storage.kv.put("count", count);
    return count;
  }
}
class Counter extends DurableObject {
  async next() {
    const count = ((await this.ctx.storage.get("count")) ?? 0) + 1;
    await this.ctx.storage.put("count", count);
    return count;
  }
  facet() {
    return this.ctx.facets.get("below", () => ({ class: this.ctx.exports.Below })).next();
  }
  kind() {
    try {
      return this.ctx.storage.sql.exec("SELECT 'sql' AS kind").one().kind;
    } catch {
      return "kv";
    }
  }
}
export { Counter as CLASS };
export default {
  async fetch(request, env) {
    const object = env.COUNTER.getByName("one");
    switch (new URL(request.url).pathname) {
      case "/id":
        return new Response(String(object.id));
      case "/facet":
        return new Response(String(await object.facet()));
      case "/kind":
        return new Response(await object.kind());
      default:
        return new Response(String(await object.next()));
    }
  },
};
"#;

const FIRST: &str = r#"{ "tag": "v1", "new_sqlite_classes": ["First"] }"#;

/// Projects and the state that they share, removed at the end.
struct Projects(PathBuf);

impl Projects {
    fn new(name: &str) -> Self {
        let folder = format!("mayfly-migrations-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(folder);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn state(&self) -> String {
        self.0.join("state").to_str().unwrap().to_owned()
    }

    /// The configuration of the Worker `name`, which exports `class` and binds it.
    fn config(&self, name: &str, class: &str, migrations: &[&str]) -> PathBuf {
        let folder = self.0.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let migrations = migrations.join(", ");
        let config = format!(
            r#"{{ "name": "{name}", "main": "index.js", "compatibility_date": "2026-08-01",
            "compatibility_flags": ["experimental"],
            "durable_objects": {{ "bindings": [{{ "name": "COUNTER", "class_name": "{class}" }}] }},
            "migrations": [{migrations}] }}"#
        );
        std::fs::write(folder.join("index.js"), CODE.replace("CLASS", class)).unwrap();
        let file = folder.join("wrangler.jsonc");
        std::fs::write(&file, config).unwrap();
        file
    }

    /// The Worker "app" with its class and its migrations.
    fn serve(&self, class: &str, migrations: &[&str]) -> Server {
        self.serve_all(&[self.config("app", class, migrations)])
    }

    fn serve_all(&self, configs: &[PathBuf]) -> Server {
        Server::start_configs(configs, &["--state", &self.state()])
    }

    /// What a server says that refuses to start with these.
    fn refused(&self, class: &str, migrations: &[&str]) -> String {
        let config = self.config("app", class, migrations);
        refusal(&[config], &self.state())
    }
}

impl Drop for Projects {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn refusal(configs: &[PathBuf], state: &str) -> String {
    let mut command = Command::new(binary("mayfly"));
    command.arg("serve").args(["--listen", "127.0.0.1:0"]);
    for config in configs {
        command.arg("--config").arg(config);
    }
    let output = command
        .args(["--state", state])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it started: {said}");
    said
}

/// How many databases lie below a folder.
fn databases(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let count = |path: PathBuf| match path.is_dir() {
        true => databases(&path),
        false => usize::from(path.extension().is_some_and(|end| end == "sqlite")),
    };
    entries.flatten().map(|entry| count(entry.path())).sum()
}

#[test]
fn a_renamed_class_keeps_its_objects_and_their_ids() {
    let projects = Projects::new("renamed");
    let first = projects.serve("First", &[FIRST]);
    assert_eq!(first.get("/").body, "1");
    assert_eq!(first.get("/").body, "2");
    assert_eq!(first.get("/facet").body, "1");
    let id = first.get("/id").body;
    drop(first);
    let renamed = r#"{ "tag": "v2", "renamed_classes": [{ "from": "First", "to": "Second" }] }"#;
    for count in 3..5 {
        let second = projects.serve("Second", &[FIRST, renamed]);
        assert_eq!(second.get("/").body, count.to_string());
        assert_eq!(second.get("/facet").body, (count - 1).to_string());
        assert_eq!(second.get("/id").body, id);
    }
}

#[test]
fn a_deleted_class_leaves_nothing_behind() {
    let projects = Projects::new("deleted");
    let server = projects.serve("First", &[FIRST]);
    // A facet's data is all that there is: the object itself has written nothing.
    assert_eq!(server.get("/facet").body, "1");
    assert_eq!(server.get("/facet").body, "2");
    drop(server);
    let objects = projects.0.join("state/objects");
    assert_eq!(databases(&objects), 1);
    let deleted = r#"{ "tag": "v2", "deleted_classes": ["First"] }"#;
    let again = r#"{ "tag": "v3", "new_sqlite_classes": ["First"] }"#;
    let server = projects.serve("First", &[FIRST, deleted, again]);
    assert_eq!(databases(&objects), 0);
    assert_eq!(server.get("/facet").body, "1");
    assert_eq!(server.get("/").body, "1");
}

#[test]
fn a_transferred_class_goes_on_in_the_other_worker() {
    let projects = Projects::new("transferred");
    let server = projects.serve("First", &[FIRST]);
    assert_eq!(server.get("/").body, "1");
    let id = server.get("/id").body;
    drop(server);
    let transferred = r#"{ "tag": "v1", "transferred_classes":
        [{ "from": "First", "from_script": "app", "to": "Moved" }] }"#;
    let other = projects.config("other", "Moved", &[transferred]);
    let server = projects.serve_all(&[other]);
    assert_eq!(server.get("/").body, "2");
    assert_eq!(server.get("/id").body, id);
    drop(server);
    // In another folder the whole history is applied at once, in whatever order the Workers are named.
    let fresh = projects.0.join("fresh");
    let other = projects.config("other", "Moved", &[transferred]);
    let renewed = r#"{ "tag": "v2", "new_sqlite_classes": ["Next"] }"#;
    let app = projects.config("app", "Next", &[FIRST, renewed]);
    let configs = [other, app];
    let server = Server::start_configs(&configs, &["--state", fresh.to_str().unwrap()]);
    assert_eq!(server.get("/").body, "1");
}

#[test]
fn the_kind_of_a_class_is_what_its_migration_says() {
    let projects = Projects::new("kinds");
    let old = r#"{ "tag": "v1", "new_classes": ["Old"] }"#;
    let server = projects.serve("Old", &[old]);
    assert_eq!(server.get("/kind").body, "kv");
    assert_eq!(server.get("/").body, "1");
    drop(server);
    let new = r#"{ "tag": "v2", "new_sqlite_classes": ["New"] }"#;
    assert_eq!(projects.serve("New", &[old, new]).get("/kind").body, "sql");
    // Bound before anybody wrote a migration: a warning, and what it stored stays.
    let server = projects.serve("Early", &[old, new]);
    server.wait_for_output("no migration makes the class \"Early\"");
    assert_eq!(server.get("/kind").body, "kv");
    assert_eq!(server.get("/").body, "1");
    drop(server);
    let early = r#"{ "tag": "v3", "new_sqlite_classes": ["Early"] }"#;
    let server = projects.serve("Early", &[old, new, early]);
    assert_eq!(server.get("/kind").body, "sql");
    assert_eq!(server.get("/").body, "2");
}

#[test]
fn a_wrong_migration_is_an_error_and_loses_nothing() {
    let projects = Projects::new("wrong");
    assert_eq!(projects.serve("First", &[FIRST]).get("/").body, "1");
    let wrong = |migrations: &[&str], said: &[&str]| {
        let error = projects.refused("First", migrations);
        for said in said {
            assert!(error.contains(said), "{said:?} is not in {error}");
        }
        assert!(error.contains("wrangler.jsonc"), "no place in {error}");
    };
    wrong(
        &[
            FIRST,
            r#"{ "tag": "v2", "renamed_classes": [{ "from": "Frist", "to": "Second" }] }"#,
        ],
        &["migration \"v2\"", "worker \"app\" has no class \"Frist\""],
    );
    // The first step of a migration whose second one fails is undone with it.
    wrong(
        &[
            FIRST,
            r#"{ "tag": "v2", "deleted_classes": ["First", "Nobody"] }"#,
        ],
        &["has no class \"Nobody\""],
    );
    wrong(
        &[
            FIRST,
            r#"{ "tag": "v2", "transferred_classes":
                [{ "from": "First", "from_script": "nobody", "to": "Second" }] }"#,
        ],
        &["worker \"nobody\" has no class \"First\""],
    );
    wrong(
        &[
            FIRST,
            r#"{ "tag": "v2", "transferred_classes": [{ "from": "First", "to": "Second" }] }"#,
        ],
        &["from_script"],
    );
    wrong(&[FIRST, r#"{ "deleted_classes": ["First"] }"#], &["tag"]);
    wrong(
        &[FIRST, r#"{ "tag": "v1", "deleted_classes": ["First"] }"#],
        &["there is already a migration \"v1\""],
    );
    wrong(
        &[FIRST, r#"{ "tag": "v2", "dropped_classes": ["First"] }"#],
        &["dropped_classes"],
    );
    wrong(
        &[FIRST, r#"{ "tag": "v2", "new_classes": ["First"] }"#],
        &["one of new_sqlite_classes already"],
    );
    wrong(&[], &["migration \"v1\"", "missing", "put it back"]);
    wrong(
        &[r#"{ "tag": "v0", "new_sqlite_classes": ["First"] }"#],
        &["migration \"v1\"", "missing"],
    );
    assert_eq!(projects.serve("First", &[FIRST]).get("/").body, "2");
    // Nor over a class that has objects of its own.
    let other = r#"{ "tag": "v2", "new_sqlite_classes": ["Other"] }"#;
    assert_eq!(projects.serve("Other", &[FIRST, other]).get("/").body, "1");
    let over = r#"{ "tag": "v3", "renamed_classes": [{ "from": "First", "to": "Other" }] }"#;
    wrong(
        &[FIRST, other, over],
        &["already has a class \"Other\" with objects"],
    );
    assert_eq!(projects.serve("First", &[FIRST, other]).get("/").body, "3");
    assert_eq!(projects.serve("Other", &[FIRST, other]).get("/").body, "2");
}
