//! The modules of a Worker whose files are taken as they are.
//!
//! `rules` say what a file becomes; files that no rule names stay out. Nothing is parsed here:
//! following imports, TypeScript and packages are the bundle crate's.
//!
//! Invariants: the order does not depend on the file system; names are relative to the base
//! folder, written with `/`; a Worker's modules stay within the bounds of the wire.

use std::path::{Path, PathBuf};

use mayfly_wire::{Blob, Module, ModuleKind, bounds};

use crate::config::{Config, Rule};
use crate::glob;

/// Folders within folders that are looked into; deeper ones are most likely a mistake.
const DEPTH_MAX: usize = 64;

/// Files that are looked at in a base folder, whether or not they match.
const FILES_MAX: usize = 200_000;

/// A Worker's modules.
#[derive(Debug, Clone, PartialEq)]
pub struct Modules {
    /// The name of the main one.
    pub main: String,
    /// All of them; the main one first.
    pub list: Vec<Module>,
}

/// Why a Worker's files could not become modules.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the variants mean")]
pub enum ModulesError {
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} has a name that is not UTF-8", path = .path.display())]
    Name { path: PathBuf },
    #[error("{folder} has more than {FILES_MAX} files; set `base_dir` to a smaller folder", folder = .folder.display())]
    TooManyFiles { folder: PathBuf },
    #[error("the Worker has {count} modules, the limit is {limit}", limit = bounds::LIST_ITEMS_MAX)]
    TooManyModules { count: usize },
    #[error("the Worker's modules take more than {limit} bytes, the limit; {path} is over it", path = .path.display(), limit = bounds::CODE_BYTES_MAX)]
    TooLarge { path: PathBuf },
}

/// Collects modules and keeps count of their bytes.
#[derive(Debug, Default)]
pub struct Collection {
    list: Vec<Module>,
    bytes: usize,
}

impl Collection {
    /// Adds a module; `path` is for the message when it is too much.
    pub fn add(
        &mut self,
        name: String,
        kind: ModuleKind,
        content: Vec<u8>,
        path: &Path,
    ) -> Result<(), ModulesError> {
        self.bytes += content.len();
        if self.bytes > bounds::CODE_BYTES_MAX {
            let path = path.to_owned();
            return Err(ModulesError::TooLarge { path });
        }
        let content = Blob(content);
        self.list.push(Module {
            name,
            kind,
            content,
        });
        Ok(())
    }

    /// Whether a module of this name was added.
    pub fn has(&self, name: &str) -> bool {
        self.list.iter().any(|module| module.name == name)
    }

    /// The end.
    pub fn finish(self, main: String) -> Result<Modules, ModulesError> {
        if self.list.len() > bounds::LIST_ITEMS_MAX {
            let count = self.list.len();
            return Err(ModulesError::TooManyModules { count });
        }
        let list = self.list;
        Ok(Modules { main, list })
    }
}

/// The modules of a Worker with `no_bundle`; `file` is its main module's.
pub fn collect(config: &Config, file: &Path) -> Result<Modules, ModulesError> {
    let base = &config.modules.base_dir;
    let main = name_of(base, file)?;
    let mut all = Collection::default();
    let code = read(file)?;
    all.add(main.clone(), ModuleKind::Js {}, code, file)?;
    for found in matching_files(base, &config.modules.rules, Defaults::WithScripts)? {
        if found.name != main {
            let content = read(&found.path)?;
            all.add(found.name, found.kind, content, &found.path)?;
        }
    }
    all.finish(main)
}

/// A file that a rule names.
#[derive(Debug)]
pub struct Found {
    /// Relative to the base folder.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What the rule makes it.
    pub kind: ModuleKind,
}

/// Which rules follow the Worker's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defaults {
    /// Text, data and Wasm by their usual endings.
    AssetsOnly,
    /// Those, and scripts.
    WithScripts,
}

/// The files under `base` that a rule names, sorted by name.
pub fn matching_files(
    base: &Path,
    rules: &[Rule],
    defaults: Defaults,
) -> Result<Vec<Found>, ModulesError> {
    let rules = effective_rules(rules, defaults);
    let mut files = Vec::new();
    list_files(base, &mut files, DEPTH_MAX)?;
    let mut found = Vec::new();
    for path in files {
        let name = name_of(base, &path)?;
        if let Some(kind) = kind_by_rules(&rules, &name) {
            found.push(Found { name, path, kind });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The kind that the first matching rule gives.
pub fn kind_by_rules(rules: &[Rule], name: &str) -> Option<ModuleKind> {
    let rule = rules
        .iter()
        .find(|rule| rule.globs.iter().any(|glob| glob::matches(glob, name)))?;
    Some(rule.kind.clone())
}

/// The rules that count: a rule without `fallthrough` ends those of its kind, the defaults'
/// included.
pub fn effective_rules(rules: &[Rule], defaults: Defaults) -> Vec<Rule> {
    let mut ended: Vec<ModuleKind> = Vec::new();
    let mut effective = Vec::new();
    for rule in rules.iter().cloned().chain(default_rules(defaults)) {
        if ended.contains(&rule.kind) {
            continue;
        }
        if !rule.fallthrough {
            ended.push(rule.kind.clone());
        }
        effective.push(rule);
    }
    effective
}

fn default_rules(defaults: Defaults) -> Vec<Rule> {
    let rule = |kind: ModuleKind, globs: &[&str]| Rule {
        kind,
        globs: globs.iter().map(|glob| (*glob).to_owned()).collect(),
        fallthrough: false,
    };
    let mut rules = vec![
        rule(ModuleKind::Text {}, &["**/*.txt", "**/*.html", "**/*.sql"]),
        rule(ModuleKind::Data {}, &["**/*.bin"]),
        rule(ModuleKind::Wasm {}, &["**/*.wasm"]),
    ];
    if defaults == Defaults::WithScripts {
        rules.push(rule(ModuleKind::Js {}, &["**/*.js", "**/*.mjs"]));
        rules.push(rule(ModuleKind::CommonJs {}, &["**/*.cjs"]));
    }
    rules
}

/// All files below a folder. Packages, hidden folders and linked folders are left out.
fn list_files(folder: &Path, into: &mut Vec<PathBuf>, depth: usize) -> Result<(), ModulesError> {
    let failed = |source| ModulesError::Read {
        path: folder.to_owned(),
        source,
    };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let (path, name) = (entry.path(), entry.file_name());
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if kind.is_dir() {
            if !hidden && name != "node_modules" && depth > 0 {
                list_files(&path, into, depth - 1)?;
            }
        } else if kind.is_file() || path.is_file() {
            if into.len() >= FILES_MAX {
                let folder = folder.to_owned();
                return Err(ModulesError::TooManyFiles { folder });
            }
            into.push(path);
        }
    }
    Ok(())
}

/// A file's name in the table: relative to `base`, with `/`. `main` is known to be below it.
fn name_of(base: &Path, path: &Path) -> Result<String, ModulesError> {
    let relative = path.strip_prefix(base).unwrap_or(path);
    let mut name = String::new();
    for part in relative.components() {
        let part = part
            .as_os_str()
            .to_str()
            .ok_or_else(|| ModulesError::Name {
                path: path.to_owned(),
            })?;
        if part == "." {
            continue;
        }
        if !name.is_empty() {
            name.push('/');
        }
        name.push_str(part);
    }
    Ok(name)
}

/// A file's bytes.
pub fn read(path: &Path) -> Result<Vec<u8>, ModulesError> {
    let failed = |source| ModulesError::Read {
        path: path.to_owned(),
        source,
    };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > bounds::CODE_BYTES_MAX as u64 {
        let path = path.to_owned();
        return Err(ModulesError::TooLarge { path });
    }
    std::fs::read(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: ModuleKind, glob: &str, fallthrough: bool) -> Rule {
        Rule {
            kind,
            globs: vec![glob.to_owned()],
            fallthrough,
        }
    }

    #[test]
    fn a_rule_without_fallthrough_ends_its_kind() {
        let own = |fallthrough| [rule(ModuleKind::Text {}, "**/*.md", fallthrough)];
        let kind = |rules: &[Rule], name: &str| {
            kind_by_rules(&effective_rules(rules, Defaults::WithScripts), name)
        };
        assert_eq!(kind(&own(false), "a/b.md"), Some(ModuleKind::Text {}));
        assert_eq!(kind(&own(false), "b.txt"), None);
        assert_eq!(kind(&own(true), "b.txt"), Some(ModuleKind::Text {}));
        assert_eq!(kind(&own(false), "b.bin"), Some(ModuleKind::Data {}));
        assert_eq!(kind(&[], "b.cjs"), Some(ModuleKind::CommonJs {}));
        assert_eq!(kind(&[], "b.json"), None);
        let first = [rule(ModuleKind::Data {}, "*.js", false)];
        assert_eq!(kind(&first, "a.js"), Some(ModuleKind::Data {}));
    }

    #[test]
    fn files_are_collected_by_rule_in_order() {
        let root = std::env::temp_dir().join(format!("mayfly-modules-{}", std::process::id()));
        let write = |name: &str| {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        };
        let files = [
            "w.json",
            "main",
            "z.js",
            "a/b.mjs",
            "a/t.txt",
            "node_modules/p/i.js",
            ".x/y.js",
            "[odd]",
        ];
        files.into_iter().for_each(write);
        let text = r#"{"main": "./main", "compatibility_date": "2026-01-01", "no_bundle": true,
            "rules": [{"type": "Data", "globs": ["[odd]"], "fallthrough": true}]}"#;
        std::fs::write(root.join("w.json"), text).unwrap();
        let (config, _) = Config::load(&root.join("w.json")).unwrap();
        let modules = collect(&config, &root.join("main")).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        let names: Vec<&str> = modules.list.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["main", "[odd]", "a/b.mjs", "a/t.txt", "z.js"]);
        assert_eq!(modules.main, "main");
        assert_eq!(modules.list[1].kind, ModuleKind::Data {});
        assert_eq!(modules.list[2].content, Blob(b"a/b.mjs".to_vec()));
    }

    #[test]
    fn too_much_code_is_an_error() {
        let mut all = Collection::default();
        let half = vec![0; bounds::CODE_BYTES_MAX / 2 + 1];
        let path = Path::new("big.bin");
        all.add("a".to_owned(), ModuleKind::Data {}, half.clone(), path)
            .unwrap();
        let error = all.add("b".to_owned(), ModuleKind::Data {}, half, path);
        assert!(matches!(error, Err(ModulesError::TooLarge { .. })));
    }
}
