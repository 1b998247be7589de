//! Packages from npm as they are published: see `workers/npm/index.js`.
//!
//! `npm ci` fetches them when they are not there. Every case runs on the sources as they are, each
//! file a module, as `mayfly serve` builds them; all cases run once more on one file that esbuild
//! made, as most people deploy.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use mayfly_tests::{Server, worker};

/// The service that the client of `openai` speaks to.
const FAKE: &str = "npm-openai";

/// Seconds that an installation or a bundle may take, as `timeout` reads them.
const SECONDS_MAX: &str = "120";

/// The Workers, once the packages are installed.
fn workers() -> [&'static str; 2] {
    install();
    ["npm", FAKE]
}

/// Runs `npm ci` where it has not been run. Tests may be processes of their own, so one lock file
/// stands between them.
fn install() {
    // npm writes this file last.
    let installed = worker("npm").join("node_modules/.package-lock.json");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm-install.lock");
    let lock = File::create(&path).expect("the folder for tests is there");
    lock.lock().expect("a file of our own can be locked");
    if !installed.exists() {
        run(&["npm", "ci"]);
    }
}

/// Runs a tool in the Worker's folder.
fn run(command: &[&str]) {
    let output = Command::new("timeout")
        .arg(SECONDS_MAX)
        .args(command)
        .current_dir(worker("npm"))
        .output()
        .expect("timeout(1) runs");
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
    run(&[
        "node_modules/.bin/esbuild",
        "index.js",
        "--bundle",
        "--format=esm",
        "--target=es2024",
        "--platform=browser",
        "--conditions=workerd,worker,browser",
        "--main-fields=browser,module,main",
        "--external:node:*",
        // A package of CommonJS asks for it; wrangler has a plugin that makes the same of it.
        "--external:path",
        "--banner:js=import{createRequire as $make}from\"node:module\";const require=$make(\"/\");",
        "--external:cloudflare:*",
        "--define:process.env.NODE_ENV=\"production\"",
        "--log-level=warning",
        &format!("--outfile={}", main.display()),
    ]);
    let text = std::fs::read_to_string(worker("npm").join("wrangler.jsonc"))
        .expect("the Worker has a configuration");
    let text = text.replacen('{', "{ \"no_bundle\": true,", 1);
    let config = folder.join("wrangler.jsonc");
    std::fs::write(&config, text).expect("the folder is there: esbuild made it");
    config
}

#[test]
fn all_cases_bundled_with_esbuild() {
    install();
    let fake = worker(FAKE).join("wrangler.jsonc");
    let server = Server::start_configs(&[bundled(), fake], &["--ephemeral"]);
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
    workers(), ["--ephemeral"];
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
    drizzle_orm_on_d1,
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
    codemode_describes_its_tools,
    codemode_runs_what_a_model_wrote,
    codemode_tells_what_went_wrong,
    codemode_ends_what_takes_too_long,
    agents_are_called_by_workers,
    agents_are_called_by_browsers,
    agents_have_schedules,
}
