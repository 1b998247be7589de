//! Runs a program as if the kernel had no sandbox to give: seccomp, Landlock and namespaces are
//! refused. For `mayfly-bench layers`, which asks what they cost.
//!
//! It takes away and gives nothing: what runs under it has fewer rights than without it.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use std::env;
use std::error::Error;
use std::os::unix::process::CommandExt;
use std::process::Command;

fn main() {
    let error = run().unwrap_err();
    eprintln!("without_layers: {error}");
    std::process::exit(1);
}

/// Becomes the program; comes back only with an error.
fn run() -> Result<std::convert::Infallible, Box<dyn Error>> {
    let mut words = env::args_os().skip(1);
    let program = words.next().ok_or("name a program and its arguments")?;
    mayfly_sandbox::privileges::forbid_new_privileges()?;
    let filter: BpfProgram = SeccompFilter::new(
        refused()?.into_iter().collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS as u32),
        env::consts::ARCH.try_into()?,
    )?
    .try_into()?;
    seccompiler::apply_filter(&filter)?;
    Err(Command::new(program).args(words).exec().into())
}

/// Rows of a filter: a call, and when it matches.
type Rows = Vec<(i64, Vec<SeccompRule>)>;

fn refused() -> Result<Rows, Box<dyn Error>> {
    let mut rules: Vec<(i64, Vec<SeccompRule>)> = [
        libc::SYS_seccomp,
        libc::SYS_landlock_create_ruleset,
        libc::SYS_unshare,
        libc::SYS_pivot_root,
        libc::SYS_mount,
    ]
    .into_iter()
    .map(|number| (number, vec![]))
    .collect();
    let mut namespaces = Vec::new();
    for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWPID] {
        let flag = flag as u64;
        let set = SeccompCmpOp::MaskedEq(flag);
        let condition = SeccompCondition::new(0, SeccompCmpArgLen::Qword, set, flag)?;
        namespaces.push(SeccompRule::new(vec![condition])?);
    }
    rules.push((libc::SYS_clone, namespaces));
    Ok(rules)
}
