//! `mayfly d1` as it was typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::environment;

const EXAMPLES: &str = "\
NAME is a database of the configuration, by its database_name, its binding or its database_id.

Examples:
  Bring a database to where the project's migrations are, before the server starts:
    mayfly d1 migrations apply my-database --state state
  See what it would do:
    mayfly d1 migrations list my-database --state state
  Look inside, as text or as JSON:
    mayfly d1 execute my-database --command \"SELECT * FROM users LIMIT 5\"
    mayfly d1 execute my-database --command \"SELECT * FROM users\" --json | jq '.[0].results'
  Load a dump:
    mayfly d1 execute my-database --file dump.sql --env staging

The folder of the state is locked by the server that uses it, so stop that first. Migrations and
their table (d1_migrations) are as wrangler keeps them.";

/// `mayfly d1`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct D1Args {
    /// What to do.
    #[command(subcommand)]
    pub command: D1Command,

    /// The configuration that names the database [default: wrangler.jsonc, .json or .toml here]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Read the configuration for this environment of its (env.NAME)
    #[arg(short, long, global = true, value_name = "NAME", value_parser = environment)]
    pub env: Option<String>,

    /// The folder of the state [default: .mayfly/state beside the configuration]
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

/// What may be done with a database.
#[derive(Debug, Subcommand)]
pub enum D1Command {
    /// Which migrations a project has, and bring a database to the last of them
    Migrations {
        /// What to do.
        #[command(subcommand)]
        command: MigrationsCommand,
    },
    /// Run SQL: all statements as one transaction, all of them or none
    #[command(after_help = EXAMPLES)]
    Execute(ExecuteArgs),
}

/// What may be done with migrations.
#[derive(Debug, Subcommand)]
pub enum MigrationsCommand {
    /// List them: which were applied and when, and which are pending
    List {
        /// The database
        name: String,
    },
    /// Apply those that are pending, in their order, each whole or not at all
    Apply {
        /// The database
        name: String,
    },
}

/// `mayfly d1 execute`.
#[derive(Debug, Args)]
pub struct ExecuteArgs {
    /// The database
    pub name: String,

    /// The SQL itself
    #[arg(long, value_name = "SQL", required_unless_present = "file")]
    pub command: Option<String>,

    /// A file of SQL, such as a dump
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub file: Option<PathBuf>,

    /// Print one list of JSON with results, success and meta of each statement
    #[arg(long)]
    pub json: bool,
}
