//! Where the binary `mayfly-guest` is.
//!
//! Beside `mayfly`, where a build and an installation both put it, or where `--guest` says. Its
//! version is the supervisor's affair.

use std::path::{Path, PathBuf};

use crate::exit::Exit;

const NAME: &str = "mayfly-guest";

/// The path, if a file is there.
pub fn find(given: Option<&Path>) -> Result<PathBuf, Exit> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => beside_this().map_err(|error| {
            Exit::Guest(format!(
                "cannot tell where {NAME} is ({error}); name it with --guest"
            ))
        })?,
    };
    if path.is_file() {
        return Ok(path);
    }
    let hint = match given {
        Some(_) => "",
        None => "; build it (cargo build --release -p mayfly-guest) or name it with --guest",
    };
    Err(Exit::Guest(format!(
        "the guest binary {} does not exist{hint}",
        path.display()
    )))
}

fn beside_this() -> std::io::Result<PathBuf> {
    // Through symbolic links: /usr/local/bin/mayfly may lead to where both are.
    let this = std::env::current_exe()?.canonicalize()?;
    Ok(this.with_file_name(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_guest_is_named_with_what_to_do() {
        let error = find(Some(Path::new("/nowhere/mayfly-guest"))).unwrap_err();
        assert_eq!(error.code(), crate::exit::GUEST);
        assert_eq!(
            error.to_string(),
            "the guest binary /nowhere/mayfly-guest does not exist"
        );
    }
}
