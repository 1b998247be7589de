//! The sandboxed binary: a zygote that becomes guests.
//!
//! `mayfly-guest zygote` is started by the host with a control socket as descriptor 3. In the order a
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

use std::env;
use std::process::ExitCode;

const USAGE: &str = "mayfly-guest is started by mayfly, with a control socket as descriptor 3; \
                     by hand it only tells its `--version`";

fn main() -> ExitCode {
    let mut words = env::args_os().skip(1);
    let word = words.next().unwrap_or_default();
    let alone = words.next().is_none();
    match word.to_str() {
        Some("--version") if alone => {
            println!("{}", mayfly_wire::VERSION);
            ExitCode::SUCCESS
        }
        Some("zygote") if alone => match mayfly_sandbox::descriptors::inherited_socket() {
            Some(control) => launcher::launch(control),
            None => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(exit::USAGE as u8)
}
