//! The binary `mayfly`: reads the command line, builds the parts, wires them together, and turns
//! what went wrong into one line and an exit code.
//!
//! `args` is what may be typed, `serve`, `run`, `tail`, `usage`, `doctor`, `operate` (`mayfly state`) and
//! `d1` are the commands, `host` builds what they need, `workers` makes definitions of configurations,
//! `cron` runs triggers, `logs` prints, `exit` ends. No decision about a
//! Worker's life is made here.

#![forbid(unsafe_code)]

mod args;
mod cron;
mod d1;
mod doctor;
mod exit;
mod guest;
mod host;
mod logs;
mod operate;
mod plain_bindings;
mod props;
mod queues;
mod run;
mod serve;
mod state;
mod tail;
mod usage;
mod workers;

use std::process::ExitCode;

use args::{Arguments, Command};
use clap::Parser;
use exit::Exit;

/// Messages of megabytes pass through here.
#[global_allocator]
static MEMORY: mayfly_sandbox::huge::HugePages = mayfly_sandbox::huge::HugePages;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    // What is missing shows when so many Workers live, with the kernel's word for it.
    let _ = mayfly_sandbox::rlimits::raise_descriptors();
    // Only the speed beside busy Workers is lost without it.
    let _ = mayfly_sandbox::schedule::Urgency::Settled.apply_here();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(async {
            match arguments.command {
                Command::Serve(arguments) => serve::serve(arguments).await,
                Command::Run(arguments) => run::run(arguments).await,
                Command::Tail(arguments) => tail::tail(arguments).await,
                Command::Usage(arguments) => usage::usage(&arguments),
                Command::Doctor(arguments) => doctor::doctor(&arguments),
                Command::State(arguments) => operate::operate(&arguments),
                Command::D1(arguments) => d1::d1(&arguments),
            }
        }),
        Err(error) => Err(Exit::Internal(format!("cannot start threads: {error}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}

/// `--help` and `--version` arrive here too, and are no mistake.
fn usage(error: &clap::Error) -> ExitCode {
    // A closed terminal is all that can go wrong.
    let _ = error.print();
    match error.use_stderr() {
        true => ExitCode::from(exit::USAGE),
        false => ExitCode::SUCCESS,
    }
}
