//! From the main module to all modules, by following imports.
//!
//! First every file that is reached is read, scanned and linked; then, when it is known what each
//! one is, the texts are written with the names that links have become.
//!
//! Invariant: a file is one module, however often and by whatever path it is imported.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::{Component, Path, PathBuf};

use mayfly_config::modules::{self, Collection, Defaults, Modules, ModulesError};
use mayfly_config::{Config, Diagnostic, Rule, Warning};
use mayfly_wire::ModuleKind;
use oxc_resolver::PackageType;
use oxc_span::SourceType;

use crate::BundleError;
use crate::decorators;
use crate::define::Defines;
use crate::interop::{self, Style, quote};
use crate::resolve::{How, Resolve, Target, is_in_package, tsconfig_of};
use crate::scan::{self, Edit, Form, Import, Scan, Syntax};
use crate::source::{self, Dialect, diagnostic, position};

/// Builds a Worker.
pub fn build(config: &Config, main: &Path) -> Result<(Modules, Vec<Warning>), BundleError> {
    let root = real(&config.root)?;
    let (resolve, problem) = Resolve::new(config, &root);
    let modules = &config.modules;
    let dialect = Dialect::new(
        modules.jsx_factory.as_deref(),
        modules.jsx_fragment.as_deref(),
        resolve.compiler_options(),
    );
    let defines = Defines::new(&modules.define).map_err(BundleError::Sources)?;
    let mut graph = Graph {
        defines,
        base: real(&modules.base_dir)?,
        rules: modules::effective_rules(&modules.rules, Defaults::AssetsOnly),
        root,
        resolve,
        dialect,
        items: Vec::new(),
        by_path: HashMap::new(),
        queue: VecDeque::new(),
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    if let Some(problem) = problem {
        let place = position(&tsconfig_of(config, &graph.root), "", 0);
        graph.warnings.push(diagnostic(place, problem));
    }
    graph.enter(config, main)?;
    graph.walk()?;
    graph.finish()
}

/// The real path of a folder or file; an empty one is the current folder.
fn real(path: &Path) -> Result<PathBuf, ModulesError> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    path.canonicalize().map_err(|source| ModulesError::Read {
        path: path.to_owned(),
        source,
    })
}

struct Graph {
    root: PathBuf,
    base: PathBuf,
    rules: Vec<Rule>,
    resolve: Resolve,
    dialect: Dialect,
    defines: Defines,
    items: Vec<Item>,
    by_path: HashMap<PathBuf, usize>,
    queue: VecDeque<usize>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Warning>,
}

/// A file that was reached.
struct Item {
    name: String,
    path: PathBuf,
    package: Option<PackageType>,
    /// Known from the start for the main module and where a rule decides.
    kind: Option<ModuleKind>,
    content: Content,
}

enum Content {
    /// Not read yet.
    Unread,
    Bytes(Vec<u8>),
    Script {
        text: String,
        scan: Scan,
        links: Vec<Link>,
    },
}

/// What an import of a script has become, in the order of its imports.
enum Link {
    Item(usize),
    Builtin(String),
    /// Nothing was found and the specifier stays, to fail when it is run.
    Left,
}

impl Graph {
    /// The main module, and files that a rule names although nothing may import them.
    fn enter(&mut self, config: &Config, main: &Path) -> Result<(), BundleError> {
        let main = real(main)?;
        let package = self.resolve.package_of(&main);
        self.add(main, package, Some(ModuleKind::Js {}))?;
        if !config.modules.find_additional_modules {
            return Ok(());
        }
        let rules = &config.modules.rules;
        for found in modules::matching_files(&self.base, rules, Defaults::AssetsOnly)? {
            let path = real(&found.path)?;
            let package = self.resolve.package_of(&path);
            self.add(path, package, Some(found.kind))?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        path: PathBuf,
        package: Option<PackageType>,
        kind: Option<ModuleKind>,
    ) -> Result<usize, BundleError> {
        if let Some(index) = self.by_path.get(&path) {
            return Ok(*index);
        }
        let index = self.items.len();
        self.items.push(Item {
            name: name_of(&self.root, &path)?,
            kind,
            package,
            content: Content::Unread,
            path: path.clone(),
        });
        self.by_path.insert(path, index);
        self.queue.push_back(index);
        Ok(index)
    }

    fn walk(&mut self) -> Result<(), BundleError> {
        while let Some(index) = self.queue.pop_front() {
            let item = &self.items[index];
            // An empty stand-in has its content from the start.
            if !matches!(item.content, Content::Unread) {
                continue;
            }
            let bytes = modules::read(&item.path)?;
            let kind = item.kind.clone().or_else(|| self.kind_by_name(item));
            match kind {
                Some(kind) if !is_script(&kind) => {
                    self.items[index].kind = Some(kind);
                    self.items[index].content = Content::Bytes(bytes);
                }
                kind => {
                    if let Err(errors) = self.read_script(index, kind, bytes)? {
                        self.errors.extend(errors);
                    }
                }
            }
        }
        Ok(())
    }

    /// What a rule or the ending makes of a file; `None` is a script of either kind.
    fn kind_by_name(&self, item: &Item) -> Option<ModuleKind> {
        let relative = item.path.strip_prefix(&self.base).ok();
        let in_base = relative.and_then(Path::to_str);
        let by_rule = in_base
            .and_then(|name| modules::kind_by_rules(&self.rules, name))
            .or_else(|| modules::kind_by_rules(&self.rules, &item.name));
        by_rule.or_else(|| match ending(&item.path) {
            "json" => Some(ModuleKind::Json {}),
            "mjs" | "mts" => Some(ModuleKind::Js {}),
            "cjs" | "cts" => Some(ModuleKind::CommonJs {}),
            _ => None,
        })
    }

    fn read_script(
        &mut self,
        index: usize,
        kind: Option<ModuleKind>,
        bytes: Vec<u8>,
    ) -> Result<Result<(), Vec<Diagnostic>>, BundleError> {
        let item = &self.items[index];
        let path = item.path.clone();
        let shown = Path::new(&item.name).to_owned();
        let original = match String::from_utf8(bytes) {
            Ok(text) => text
                .strip_prefix('\u{feff}')
                .map_or(text.clone(), str::to_owned),
            Err(_) => {
                let place = position(&shown, "", 0);
                return Ok(Err(vec![diagnostic(place, "is not UTF-8 text".to_owned())]));
            }
        };
        let text = match source::needs_transform(&path) {
            None => match decorators::lower(&shown, &original, source_type(kind.as_ref())) {
                Ok(lowered) => lowered.unwrap_or_else(|| original.clone()),
                Err(errors) => return Ok(Err(errors)),
            },
            Some(source_type) => {
                match source::transform(&shown, &original, source_type, &self.dialect) {
                    Ok(text) => text,
                    Err(errors) => return Ok(Err(errors)),
                }
            }
        };
        let source_type = source_type(kind.as_ref());
        let scan = match scan::scan(&shown, &text, source_type, &self.defines) {
            Ok(scan) => scan,
            Err(errors) => return Ok(Err(errors)),
        };
        let kind = kind.unwrap_or_else(|| kind_by_syntax(item, scan.syntax));
        let links = self.link(&path, &shown, &original, &scan.imports)?;
        let item = &mut self.items[index];
        item.kind = Some(kind);
        item.content = Content::Script { text, scan, links };
        Ok(Ok(()))
    }

    fn link(
        &mut self,
        path: &Path,
        shown: &Path,
        original: &str,
        imports: &[Import],
    ) -> Result<Vec<Link>, BundleError> {
        let mut links = Vec::with_capacity(imports.len());
        for import in imports {
            let how = match import.form {
                Form::Require { .. } => How::Require,
                Form::Static(_) | Form::Dynamic => How::Import,
            };
            if let Some((asset, kind)) = self.asset_by_link(path, &import.specifier) {
                links.push(Link::Item(self.add(asset, None, Some(kind))?));
                continue;
            }
            let link = match self.resolve.find(path, &import.specifier, how) {
                Ok(Target::Builtin(name)) => Link::Builtin(name),
                Ok(Target::Empty(path)) => Link::Item(self.add_empty(path)?),
                Ok(Target::File { path, package }) if is_known(&path, &self.rules) => {
                    Link::Item(self.add(path, package, None)?)
                }
                Ok(Target::File { path, .. }) => {
                    let message = format!(
                        "\"{}\" is {}, and no rule says what kind of module that is; add one to \
                         `rules`",
                        import.specifier,
                        path.display()
                    );
                    self.complain(import, shown, original, message);
                    Link::Left
                }
                Err(missing) => {
                    self.complain(import, shown, original, missing.0);
                    Link::Left
                }
            };
            links.push(link);
        }
        Ok(links)
    }

    /// A symbolic link whose own name a rule makes text or bytes: it is that, whatever it leads to.
    fn asset_by_link(&self, referrer: &Path, specifier: &str) -> Option<(PathBuf, ModuleKind)> {
        if !specifier.starts_with("./") && !specifier.starts_with("../") {
            return None;
        }
        let path = referrer.parent()?.join(specifier);
        if !path.is_symlink() || !path.is_file() {
            return None;
        }
        let path = path.parent()?.canonicalize().ok()?.join(path.file_name()?);
        let name = name_of(&self.root, &path).ok()?;
        let kind = modules::kind_by_rules(&self.rules, &name)?;
        (!is_script(&kind)).then_some((path, kind))
    }

    /// What a static import misses keeps the Worker from starting; the rest may never be run.
    fn complain(&mut self, import: &Import, shown: &Path, original: &str, message: String) {
        // In TypeScript offsets are of the JavaScript that was made of it.
        let quoted = ['"', '\''].map(|quote| format!("{quote}{}{quote}", import.specifier));
        let at = quoted.iter().find_map(|text| original.find(text.as_str()));
        let place = position(shown, original, at.unwrap_or(0));
        let message = diagnostic(place, message);
        match import.form {
            Form::Static(_) => self.errors.push(message),
            Form::Dynamic | Form::Require { guarded: false } => self.warnings.push(message),
            Form::Require { guarded: true } => {}
        }
    }

    /// A CommonJS module that exports nothing, in the place of a file.
    fn add_empty(&mut self, path: PathBuf) -> Result<usize, BundleError> {
        let index = self.add(path, None, Some(ModuleKind::CommonJs {}))?;
        if matches!(self.items[index].content, Content::Unread) {
            self.items[index].content = Content::Bytes(Vec::new());
        }
        Ok(index)
    }

    fn finish(self) -> Result<(Modules, Vec<Warning>), BundleError> {
        if !self.errors.is_empty() {
            return Err(BundleError::Sources(self.errors));
        }
        let fronts = self.fronts();
        let mut all = Collection::default();
        for item in &self.items {
            let kind = item.kind.clone().unwrap_or(ModuleKind::Js {});
            let content = match &item.content {
                Content::Unread => Vec::new(),
                Content::Bytes(bytes) => bytes.clone(),
                Content::Script { text, scan, links } => {
                    self.write(item, text, scan, links, &fronts).into_bytes()
                }
            };
            all.add(item.name.clone(), kind, content, &item.path)?;
        }
        for ((index, style), names) in &fronts {
            let behind = &self.items[*index];
            let name = self.front_name(*index, *style);
            let specifier = quote(&relative(&name, &behind.name));
            let code = interop::module(&specifier, *style, names);
            all.add(name, ModuleKind::Js {}, code.into_bytes(), &behind.path)?;
        }
        let main = self.items[0].name.clone();
        Ok((all.finish(main)?, self.warnings))
    }

    /// The modules that have to stand in front of others, with the names they export.
    fn fronts(&self) -> Fronts {
        let mut fronts = Fronts::new();
        for item in &self.items {
            let Content::Script { scan, links, .. } = &item.content else {
                continue;
            };
            for (import, link) in scan.imports.iter().zip(links) {
                let Some(key) = self.front_of(item, import, link) else {
                    continue;
                };
                let names = fronts.entry(key).or_insert_with(|| self.names_of(key.0));
                if let Form::Static(asked) = &import.form {
                    names.extend(asked.0.iter().cloned());
                }
            }
        }
        fronts
    }

    fn front_of(&self, item: &Item, import: &Import, link: &Link) -> Option<(usize, Style)> {
        let Link::Item(index) = link else {
            return None;
        };
        let asks_by_name = match &import.form {
            Form::Static(names) => names.0.iter().any(|name| name != "default"),
            Form::Dynamic => false,
            Form::Require { .. } => return None,
        };
        match self.items[*index].kind {
            Some(ModuleKind::CommonJs {}) => Some((*index, style_of(item))),
            Some(ModuleKind::Json {}) if asks_by_name => Some((*index, Style::Node)),
            _ => None,
        }
    }

    /// The names that a CommonJS file seems to export, with those of files it passes on.
    fn names_of(&self, index: usize) -> BTreeSet<String> {
        let (mut names, mut seen, mut todo) = (BTreeSet::new(), BTreeSet::new(), vec![index]);
        while let Some(index) = todo.pop() {
            if !seen.insert(index) {
                continue;
            }
            let Content::Script { scan, links, .. } = &self.items[index].content else {
                continue;
            };
            names.extend(scan.exports.names.iter().cloned());
            for (import, link) in scan.imports.iter().zip(links) {
                if let Link::Item(other) = link
                    && scan.exports.from.contains(&import.specifier)
                {
                    todo.push(*other);
                }
            }
        }
        names
    }

    fn front_name(&self, index: usize, style: Style) -> String {
        let mut name = format!("{}{}", self.items[index].name, style.suffix());
        while self.items.iter().any(|item| item.name == name) {
            name.push('_');
        }
        name
    }

    /// A script's text with its links.
    fn write(
        &self,
        item: &Item,
        text: &str,
        scan: &Scan,
        links: &[Link],
        fronts: &Fronts,
    ) -> String {
        let mut edits = scan.edits.clone();
        if text.starts_with("#!") {
            // The first line of a program for a shell; a function's body may not have one.
            edits.push(Edit {
                start: 0,
                end: 2,
                text: "//".to_owned(),
            });
        }
        for (import, link) in scan.imports.iter().zip(links) {
            let specifier = match link {
                Link::Left => continue,
                Link::Builtin(name) => name.clone(),
                Link::Item(index) => {
                    let front = self.front_of(item, import, link);
                    let name = match front.filter(|key| fronts.contains_key(key)) {
                        Some((index, style)) => self.front_name(index, style),
                        None => self.items[*index].name.clone(),
                    };
                    relative(&item.name, &name)
                }
            };
            if specifier != import.specifier {
                edits.push(Edit {
                    start: import.start,
                    end: import.end,
                    text: quote(&specifier),
                });
            }
        }
        scan::apply(text, edits)
    }
}

/// Modules in front of others, by what stands behind and how, with their names.
type Fronts = BTreeMap<(usize, Style), BTreeSet<String>>;

fn is_script(kind: &ModuleKind) -> bool {
    matches!(kind, ModuleKind::Js {} | ModuleKind::CommonJs {})
}

fn ending(path: &Path) -> &str {
    path.extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default()
}

/// Whether a file can become a module at all.
fn is_known(path: &Path, rules: &[Rule]) -> bool {
    const SCRIPTS: &[&str] = &[
        "", "js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "json",
    ];
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    // Without its folders a name still has the ending that most rules go by.
    let by_rule = || {
        let whole = path.to_str().unwrap_or_default().trim_start_matches('/');
        modules::kind_by_rules(rules, name).or_else(|| modules::kind_by_rules(rules, whole))
    };
    SCRIPTS.contains(&ending(path)) || by_rule().is_some()
}

fn source_type(kind: Option<&ModuleKind>) -> SourceType {
    match kind {
        Some(ModuleKind::Js {}) => SourceType::mjs(),
        Some(ModuleKind::CommonJs {}) => SourceType::cjs(),
        _ => SourceType::unambiguous(),
    }
}

fn kind_by_syntax(item: &Item, syntax: Syntax) -> ModuleKind {
    let is_module = item.package == Some(PackageType::Module);
    match syntax {
        Syntax::Module => ModuleKind::Js {},
        Syntax::CommonJs if is_module => ModuleKind::Js {},
        Syntax::CommonJs => ModuleKind::CommonJs {},
        Syntax::Neither if is_in_package(&item.path) && !is_module => ModuleKind::CommonJs {},
        Syntax::Neither => ModuleKind::Js {},
    }
}

/// Node.js's reading of CommonJS is for those who say that they are ES modules.
fn style_of(item: &Item) -> Style {
    let says =
        item.package == Some(PackageType::Module) || matches!(ending(&item.path), "mjs" | "mts");
    if says { Style::Node } else { Style::Babel }
}

/// A file's name in the table: its path from the project's folder. What lies above the folder
/// (a package hoisted in a monorepo) has `_up` for each `..`.
fn name_of(root: &Path, path: &Path) -> Result<String, ModulesError> {
    let mut base = root;
    let mut parts: Vec<&str> = Vec::new();
    let relative = loop {
        match (path.strip_prefix(base), base.parent()) {
            (Ok(relative), _) => break relative,
            (Err(_), Some(parent)) => {
                parts.push("_up");
                base = parent;
            }
            (Err(_), None) => break path,
        }
    };
    for part in relative.components() {
        if let Component::Normal(part) = part {
            let part = part.to_str().ok_or_else(|| ModulesError::Name {
                path: path.to_owned(),
            })?;
            parts.push(part);
        }
    }
    Ok(parts.join("/"))
}

/// The specifier by which the module named `from` finds the one named `to`.
fn relative(from: &str, to: &str) -> String {
    let from: Vec<&str> = from.split('/').collect();
    let to: Vec<&str> = to.split('/').collect();
    let folders = from.len() - 1;
    let most = folders.min(to.len() - 1);
    let same = (0..most)
        .take_while(|index| from[*index] == to[*index])
        .count();
    let up = match folders - same {
        0 => "./".to_owned(),
        steps => "../".repeat(steps),
    };
    up + &to[same..].join("/")
}

#[cfg(test)]
mod tests;
