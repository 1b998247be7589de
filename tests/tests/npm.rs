//! Packages from npm as they are published: see `workers/npm/index.js`.
//!
//! `npm ci` fetches them when they are not there. Every case runs on the sources as they are, each
//! file a module, as `mayfly serve` builds them; all cases run once more on one file that esbuild
//! made, as most people deploy.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use mayfly_tests::{Server, worker};

/// The service that the client of `openai` speaks to.
const FAKE: &str = "npm-openai";

/// The Workers, once the packages are installed.
fn workers() -> [&'static str; 2] {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        // npm writes this file last.
        if !worker("npm")
            .join("node_modules/.package-lock.json")
            .exists()
        {
            run(Command::new("npm").arg("ci"));
        }
    });
    ["npm", FAKE]
}

/// Runs a tool in the Worker's folder.
fn run(command: &mut Command) {
    let output = command
        .current_dir(worker("npm"))
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The configuration of the Worker as esbuild makes it, with the options that wrangler gives it.
fn bundled() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm-bundled");
    let main = folder.join("index.js");
    run(
        Command::new(worker("npm").join("node_modules/.bin/esbuild"))
            .args(["index.js", "--bundle", "--format=esm", "--target=es2024"])
            .args(["--platform=browser", "--conditions=workerd,worker,browser"])
            .args(["--main-fields=browser,module,main", "--log-level=warning"])
            .args(["--external:node:*", "--external:cloudflare:*"])
            .arg("--define:process.env.NODE_ENV=\"production\"")
            .arg(format!("--outfile={}", main.display())),
    );
    let text = std::fs::read_to_string(worker("npm").join("wrangler.jsonc"))
        .expect("the Worker has a configuration");
    let text = text.replacen('{', "{ \"no_bundle\": true,", 1);
    let config = folder.join("wrangler.jsonc");
    std::fs::write(&config, text).expect("the folder is there: esbuild made it");
    config
}

#[test]
fn all_cases_bundled_with_esbuild() {
    let _ = workers();
    let fake = worker(FAKE).join("wrangler.jsonc");
    let server = Server::start_configs(&[bundled(), fake], &[]);
    let cases: Vec<String> = serde_json::from_str(&server.get("/").body).unwrap();
    let failed: Vec<String> = cases
        .iter()
        .map(|case| (case, server.get(&format!("/{case}"))))
        .filter(|(_, reply)| reply.status != 200 || reply.body != "ok")
        .map(|(case, reply)| format!("{case}: {} {}", reply.status, reply.body))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

mayfly_tests::cases! {
    workers(), [] as [&str; 0];
    hono_routes,
    hono_middleware,
    hono_bodies,
    itty_router,
    itty_router_plain,
    zod,
    zod_shapes,
    jose_hmac,
    jose_es256,
    jose_es384,
    jose_eddsa,
    jose_rs256,
    jose_ps256,
    jose_encrypts_to_keys,
    jose_encrypts_with_secrets,
    fflate,
    fflate_archives,
    fflate_asynchronous_forms_need_threads,
    nanoid,
    uuid,
    date_fns,
    lodash_es,
    lodash_es_templates_are_refused,
    lodash_es_timers,
    marked,
    marked_extended,
    graphql,
    graphql_subscriptions,
    preact_render_to_string,
    preact_renders_what_comes_late,
    drizzle_orm,
    drizzle_orm_through_a_proxy,
    drizzle_orm_postgres,
    openai,
    openai_streams,
    openai_tools,
    openai_errors,
    ai_generates,
    ai_streams,
    ai_calls_tools,
    ai_speaks_to_browsers,
    ai_aborts_and_fails,
    ai_middleware,
}
