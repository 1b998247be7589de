//! The native ops that need nothing but their arguments: one file per family.
//!
//! `platform/ops.ts` (`interface Ops`) is the contract, `declarations` its other half. What talks
//! to the socket or waits for the clock (`timeWake`, everything of `wire`) is in the process crate;
//! what needs the engine's own objects is in the engine crate.
//!
//! Invariants: an op never panics on what a Worker passes; what outlives one call (decoders,
//! coders) lives in [`OpsState`], in tables with a bound; nothing random is ever kept, so a fork
//! cannot repeat its parent.

#![forbid(unsafe_code)]

mod compress;
mod crypto;
mod html;
mod random;
mod table;
mod text;
mod time;
mod url;
mod zlib;

use mayfly_engine::data::{OpDecl, OpFn};

pub use mayfly_engine::data::{Args, Data, OpError, OpResult};
use table::Table;

/// Text decoders that one Worker may hold at once. Each takes about 100 bytes here.
pub const DECODERS_MAX: usize = 65_536;

/// Compressors and decompressors that one Worker may hold at once. A zlib coder takes up to
/// 268 KB, so the Worker's memory limit usually comes first; this bounds the table itself.
pub const CODERS_MAX: usize = 4_096;

/// Digests under way that one Worker may hold at once. Each takes some 200 bytes.
pub const HASHES_MAX: usize = 65_536;

/// HTML documents that one Worker may rewrite at once. Each parser may use 3 MiB, so the Worker's
/// memory limit usually comes first.
pub const REWRITERS_MAX: usize = 4_096;

/// Ciphers under way that one Worker may hold at once. Each takes a kilobyte or two.
pub const CIPHERS_MAX: usize = 16_384;

/// What ops keep between calls.
#[derive(Debug)]
pub struct OpsState {
    clock: time::Clock,
    decoders: Table<text::StreamDecoder>,
    coders: Table<compress::Coder>,
    zlib: Table<zlib::Stream>,
    hashes: Table<crypto::Hash>,
    rewriters: Table<html::Rewriter>,
    ciphers: Table<crypto::cipher::Cipher>,
    rsa: crypto::rsa::Keys,
}

impl OpsState {
    /// An empty state whose time origin is now.
    pub fn new() -> Self {
        Self {
            clock: time::Clock::start(),
            decoders: Table::new("text decoders", DECODERS_MAX),
            coders: Table::new("compression streams", CODERS_MAX),
            zlib: Table::new("zlib streams", CODERS_MAX),
            hashes: Table::new("digests", HASHES_MAX),
            rewriters: Table::new("HTML documents", REWRITERS_MAX),
            ciphers: Table::new("ciphers", CIPHERS_MAX),
            rsa: crypto::rsa::Keys::default(),
        }
    }

    /// Must be called in every forked guest: the parent's time origin is not the child's.
    pub fn after_fork(&mut self) {
        self.clock = time::Clock::start();
    }
}

impl Default for OpsState {
    fn default() -> Self {
        Self::new()
    }
}

/// An embedder's state that ops find theirs in.
pub trait HasOps {
    /// The ops' part of it.
    fn ops(&mut self) -> &mut OpsState;
}

impl HasOps for OpsState {
    fn ops(&mut self) -> &mut OpsState {
        self
    }
}

/// Every op of this crate.
pub fn declarations<S: HasOps>() -> Vec<OpDecl<S>> {
    let mut all = time::declarations();
    all.extend(random::declarations());
    all.extend(text::declarations());
    all.extend(url::declarations());
    all.extend(crypto::declarations());
    all.extend(compress::declarations());
    all.extend(html::declarations());
    all.extend(zlib::declarations());
    all
}

fn op<S>(name: &'static str, function: OpFn<S>) -> OpDecl<S> {
    OpDecl {
        object: "ops",
        buffers: mayfly_engine::data::Buffers::Copied,
        name,
        function,
    }
}

fn range_error(message: impl Into<String>) -> OpError {
    OpError {
        class: "RangeError",
        message: message.into(),
    }
}

#[cfg(test)]
mod testing {
    use super::*;

    /// Calls an op by its name, as the platform would.
    pub fn call(state: &mut OpsState, name: &str, args: Vec<Data>) -> OpResult {
        let all = declarations::<OpsState>();
        let found = all.iter().find(|op| op.name == name).expect(name);
        (found.function)(state, &mut Args::new(args))
    }

    pub fn text(value: &str) -> Data {
        Data::String(value.to_owned())
    }

    pub fn bytes(value: impl AsRef<[u8]>) -> Data {
        Data::Bytes(value.as_ref().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract is the TypeScript file: each member of `interface Ops` has one op, here or (for
    /// the one that waits) in the process crate.
    #[test]
    fn ops_are_those_of_the_contract() {
        let contract = include_str!("../../../../platform/ops.ts");
        let (_, members) = contract.split_once("export interface Ops {").unwrap();
        let (members, _) = members.split_once("\n}").unwrap();
        let mut wanted: Vec<&str> = members
            .lines()
            .filter_map(|line| line.strip_prefix("  ")?.split_once('('))
            .map(|(name, _)| name)
            .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric()))
            .filter(|name| *name != "timeWake")
            .collect();
        let mut found: Vec<&str> = declarations::<OpsState>()
            .iter()
            .map(|op| op.name)
            .collect();
        wanted.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, wanted);
    }
}
