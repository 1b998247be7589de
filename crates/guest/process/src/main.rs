//! The sandboxed binary: a zygote that becomes guests.
//!
//! `mayfly-guest zygote` is started by the host with a control socket as descriptor 3, and
//! `mayfly-guest zygote-jitless` for Workers that may have no executable memory. In the order a
//! process takes: [`launcher`] enters namespaces, [`zygote`] starts the engine, evaluates the platform
//! and locks itself down, then forks; [`guest`] seals a fork and runs its one loop, with [`input`],
//! [`output`], [`convert`] and [`wire_ops`] between socket and engine.
//!
//! Deliberately absent: files, sockets, configuration, environment variables. What a guest is to do
//! comes in frames.

#![forbid(unsafe_code)]

mod convert;
mod exit;
mod guest;
mod input;
mod launcher;
mod output;
mod platform;
mod rehearsal;
mod state;
mod wire_ops;
mod zygote;

use mayfly_sandbox::seccomp::Profile;
use std::env;
use std::process::ExitCode;

const USAGE: &str = "mayfly-guest is started by mayfly, with a control socket as descriptor 3; \
                     by hand it only tells its `--version`, or with `probe` which layers of the \
                     sandbox hold here";

fn main() -> ExitCode {
    // The host's slice came along, and only who has answered gets it.
    let _ = mayfly_sandbox::schedule::Urgency::Prompt.apply_here();
    let mut words = env::args_os().skip(1);
    let word = words.next().unwrap_or_default();
    let alone = words.next().is_none();
    match word.to_str() {
        Some("--version") if alone => {
            println!("{}", mayfly_wire::VERSION);
            ExitCode::SUCCESS
        }
        Some("probe") if alone => probe(),
        Some(word) if alone => match Profile::from_word(word) {
            Some(profile) => zygote(profile),
            None => usage(),
        },
        _ => usage(),
    }
}

/// For `mayfly doctor`: one line a layer.
fn probe() -> ExitCode {
    for finding in mayfly_sandbox::probe::all() {
        println!("{}", finding.to_line());
    }
    ExitCode::SUCCESS
}

fn zygote(profile: Profile) -> ExitCode {
    match mayfly_sandbox::descriptors::inherited_socket() {
        Some(control) => launcher::launch(control, profile),
        None => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(exit::USAGE as u8)
}
