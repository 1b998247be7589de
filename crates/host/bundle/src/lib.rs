//! A Worker's sources to the modules that a guest runs.
//!
//! Nothing is joined into one file: every source file becomes a module of its own, so that names
//! in stacks are the names on disk. `graph` follows imports from the main module; `source` makes
//! JavaScript of a file; `scan` finds what it imports; `resolve` finds the file that is meant;
//! `define` knows what the project puts in the place of free names; `interop` lets ES modules import CommonJS ones by name. Imports are rewritten to the path of
//! the module they mean, because a guest knows only its own table.
//!
//! Invariant: the result depends on the files alone, not on the order the file system lists them.

#![forbid(unsafe_code)]

mod builtins;
mod decorators;
mod define;
mod graph;
mod interop;
mod resolve;
mod scan;
mod source;

use std::path::Path;

use mayfly_config::modules::{self, Modules, ModulesError};
use mayfly_config::{Config, Diagnostic, Warning};
use mayfly_wire::ModuleKind;
use oxc_span::SourceType;

use crate::source::Dialect;

/// Why a Worker's sources could not become modules.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the variants mean")]
pub enum BundleError {
    #[error("{}", lines(.0))]
    Sources(Vec<Diagnostic>),
    #[error(transparent)]
    Modules(#[from] ModulesError),
}

fn lines(errors: &[Diagnostic]) -> String {
    let lines: Vec<String> = errors.iter().map(Diagnostic::to_string).collect();
    lines.join("\n")
}

/// The modules of a Worker whose main module is the file `main`, and what is worth saying about them.
pub fn build(config: &Config, main: &Path) -> Result<(Modules, Vec<Warning>), BundleError> {
    if config.modules.no_bundle {
        let mut modules = modules::collect(config, main)?;
        if config.enabled_flags.contains(&STRIP_TYPES) {
            strip_types(&mut modules)?;
        }
        return Ok((modules, Vec::new()));
    }
    graph::build(config, main)
}

/// The flag by which ES modules that are not bundled may be TypeScript.
const STRIP_TYPES: &str = "typescript_strip_types";

/// Takes the types out of every ES module, whatever its name.
fn strip_types(modules: &mut Modules) -> Result<(), BundleError> {
    let dialect = Dialect::new(None, None, None);
    let mut errors = Vec::new();
    for module in &mut modules.list {
        if !matches!(module.kind, ModuleKind::Js {}) {
            continue;
        }
        let path = Path::new(&module.name);
        // What is no UTF-8 is the guest's to refuse, as it is without the flag.
        let Ok(text) = std::str::from_utf8(&module.content.0) else {
            continue;
        };
        match source::transform(path, text, SourceType::ts(), &dialect) {
            Ok(code) => module.content.0 = code.into_bytes(),
            Err(found) => errors.extend(found),
        }
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(BundleError::Sources(errors)),
    }
}
