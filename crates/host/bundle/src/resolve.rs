//! From a specifier and the file that uses it to the file that is meant.
//!
//! `oxc_resolver` knows Node.js's rules; this says which of its options a Worker gets: the
//! conditions `workerd`, `worker`, `browser`, what the wrangler file aliases, the paths of
//! `tsconfig.json`, and which names are the guest's own.
//!
//! Invariant: a path given back is real (links followed), so one file has one module.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mayfly_config::Config;
use mayfly_config::nearest::{self, Near};
use oxc_resolver::{
    CompilerOptions, PackageType, ResolveError, ResolveOptions, Resolver, TsConfig,
    TsconfigDiscovery, TsconfigOptions, TsconfigReferences,
};

use crate::builtins;

/// What a specifier means.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// A file, and the `type` of its package.
    File {
        path: PathBuf,
        package: Option<PackageType>,
    },
    /// The guest's own module of this name.
    Builtin(String),
    /// A file that the package leaves out where there is no Node.js (`"browser": { x: false }`).
    Empty(PathBuf),
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Import,
    Require,
}

/// Why nothing was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Missing(pub String);

pub struct Resolve {
    root: PathBuf,
    alias: Vec<(String, String)>,
    /// The guest's modules win over packages of the same name.
    node_first: bool,
    own: Resolvers,
    packages: Resolvers,
    tsconfig: Option<Arc<TsConfig>>,
}

struct Resolvers {
    import: Resolver,
    require: Resolver,
}

/// Where the project's `tsconfig.json` is, or would be.
pub fn tsconfig_of(config: &Config, root: &Path) -> PathBuf {
    let given = config.modules.tsconfig.as_deref();
    root.join(given.unwrap_or(Path::new("tsconfig.json")))
}

impl Resolve {
    /// `root` is the project's folder; the second is said when `tsconfig.json` cannot be read.
    pub fn new(config: &Config, root: &Path) -> (Self, Option<String>) {
        let file = tsconfig_of(config, root);
        let plain = Resolver::new(options(How::Import, SCRIPTS_IN_PACKAGES));
        let (tsconfig, problem) = match file.is_file().then(|| plain.resolve_tsconfig(&file)) {
            None => (None, None),
            Some(Ok(tsconfig)) => (Some(tsconfig), None),
            Some(Err(error)) => (None, Some(format!("it is ignored: {error}"))),
        };
        let with = |how, scripts| {
            let mut options = options(how, scripts);
            options.tsconfig = tsconfig.as_ref().map(|_| {
                TsconfigDiscovery::Manual(TsconfigOptions {
                    config_file: file.clone(),
                    references: TsconfigReferences::Disabled,
                })
            });
            Resolver::new(options)
        };
        let own = Resolvers {
            import: with(How::Import, SCRIPTS),
            require: with(How::Require, SCRIPTS),
        };
        let require = plain.clone_with_options(options(How::Require, SCRIPTS_IN_PACKAGES));
        let packages = Resolvers {
            import: plain,
            require,
        };
        let node_first = config
            .enabled_flags
            .iter()
            .any(|flag| matches!(*flag, "nodejs_compat" | "nodejs_compat_v2"));
        let resolve = Self {
            root: root.to_owned(),
            alias: config.modules.alias.clone(),
            node_first,
            own,
            packages,
            tsconfig,
        };
        (resolve, problem)
    }

    /// What `tsconfig.json` says about the language.
    pub fn compiler_options(&self) -> Option<&CompilerOptions> {
        self.tsconfig.as_ref().map(|file| &file.compiler_options)
    }

    /// The `type` of the package that the project itself is.
    pub fn package_of(&self, path: &Path) -> Option<PackageType> {
        let folder = path.parent()?;
        let specifier = path.to_str()?;
        let found = self.own.import.resolve(folder, specifier).ok()?;
        found.package_json().and_then(|package| package.r#type())
    }

    /// Finds what `specifier` means in `referrer`.
    pub fn find(&self, referrer: &Path, specifier: &str, how: How) -> Result<Target, Missing> {
        let specifier = &self.unalias(specifier);
        if builtins::is_prefixed(specifier) {
            return Ok(Target::Builtin(specifier.clone()));
        }
        let is_node = builtins::is_node(specifier);
        if is_node && self.node_first {
            return Ok(Target::Builtin(format!("node:{specifier}")));
        }
        let resolvers = match is_in_package(referrer) {
            true => &self.packages,
            false => &self.own,
        };
        let resolver = match how {
            How::Import => &resolvers.import,
            How::Require => &resolvers.require,
        };
        let folder = referrer.parent().unwrap_or(&self.root);
        match resolver.resolve(folder, specifier) {
            Ok(found) => Ok(Target::File {
                package: found.package_json().and_then(|package| package.r#type()),
                path: found.path().to_owned(),
            }),
            Err(ResolveError::Ignored(path)) => Ok(Target::Empty(path)),
            Err(_) if is_node => Ok(Target::Builtin(format!("node:{specifier}"))),
            Err(error) => Err(self.missing(folder, specifier, &error)),
        }
    }

    fn unalias(&self, specifier: &str) -> String {
        for (name, target) in &self.alias {
            let Some(rest) = specifier.strip_prefix(name.as_str()) else {
                continue;
            };
            if rest.is_empty() || rest.starts_with('/') {
                let target = format!("{target}{rest}");
                return match target.starts_with('.') {
                    true => self.root.join(target).to_string_lossy().into_owned(),
                    false => target,
                };
            }
        }
        specifier.to_owned()
    }

    fn missing(&self, folder: &Path, specifier: &str, error: &ResolveError) -> Missing {
        let what = match error {
            ResolveError::NotFound(_) => format!("cannot find \"{specifier}\""),
            // What a package lacks is told by the resolver better than by us.
            other => format!("cannot find \"{specifier}\": {other}"),
        };
        let near = match specifier.starts_with('.') {
            true => near_files(folder, specifier),
            false => near_packages(&self.root, specifier),
        };
        let hint = match near.0.is_empty() && is_package_name(specifier) {
            true => "; is the package installed?",
            false => "",
        };
        Missing(format!("{what}{near}{hint}"))
    }
}

/// Endings that a specifier may leave out, in the project's own files. TypeScript comes first:
/// where both are there, the JavaScript was made of it.
const SCRIPTS: &[&str] = &[".ts", ".tsx", ".js", ".jsx", ".mjs", ".cjs", ".json"];

/// The same in packages, which ship the JavaScript to be run.
const SCRIPTS_IN_PACKAGES: &[&str] = &[".js", ".jsx", ".mjs", ".cjs", ".json", ".ts", ".tsx"];

fn options(how: How, extensions: &[&str]) -> ResolveOptions {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let alias = |from: &str, to: &[&str]| (from.to_owned(), owned(to));
    let (conditions, main_fields): (&[&str], &[&str]) = match how {
        How::Import => (
            &[
                "workerd", "worker", "browser", "import", "module", "default",
            ],
            &["browser", "module", "main"],
        ),
        // The `main` of a package is what `require` was made for.
        How::Require => (
            &["workerd", "worker", "browser", "require", "default"],
            &["browser", "main", "module"],
        ),
    };
    ResolveOptions {
        condition_names: owned(conditions),
        main_fields: owned(main_fields),
        alias_fields: vec![vec!["browser".to_owned()]],
        extensions: owned(extensions),
        // TypeScript files are imported by the name that their JavaScript would have.
        extension_alias: vec![
            alias(".js", &[".js", ".ts", ".tsx"]),
            alias(".jsx", &[".jsx", ".tsx"]),
            alias(".mjs", &[".mjs", ".mts"]),
            alias(".cjs", &[".cjs", ".cts"]),
        ],
        node_path: false,
        ..ResolveOptions::default()
    }
}

/// Whether a file belongs to an installed package.
pub fn is_in_package(path: &Path) -> bool {
    path.components()
        .any(|part| part.as_os_str() == "node_modules")
}

fn is_package_name(specifier: &str) -> bool {
    !specifier.starts_with(['.', '/', '#']) && !specifier.contains(':')
}

fn near_files(folder: &Path, specifier: &str) -> Near {
    let (parent, name) = match specifier.rsplit_once('/') {
        Some(parts) => parts,
        None => (".", specifier),
    };
    let names = names_in(&folder.join(parent));
    let mut near = nearest::among(name, names.iter().map(String::as_str));
    if near.0.is_empty() {
        // The ending may be left out, and may be the only thing that is wrong.
        let name = stem(name);
        let close = |other: &&String| {
            let found = nearest::among(name, std::iter::once(stem(other)));
            stem(other) == name || !found.0.is_empty()
        };
        near = Near(names.iter().filter(close).take(NEAR_MAX).cloned().collect());
    }
    let whole = near.0.iter().map(|name| format!("{parent}/{name}"));
    Near(whole.collect())
}

/// Files that a message suggests by their names without ending.
const NEAR_MAX: usize = 3;

fn stem(name: &str) -> &str {
    name.split_once('.').map_or(name, |(stem, _)| stem)
}

fn near_packages(root: &Path, specifier: &str) -> Near {
    let names = names_in(&root.join("node_modules"));
    nearest::among(specifier, names.iter().map(String::as_str))
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| !name.starts_with('.')).collect()
}
