//! How files become modules: which are found, what their kinds are, what is put in their place.
//!
//! Only written down here; `crate::modules` finds the files of code that is taken as it is, and the
//! bundle crate those of code that is built.

use std::path::{Path, PathBuf};

use mayfly_wire::ModuleKind;

use super::{Root, tables};
use crate::config::{Define, ModuleOptions, Rule};
use crate::fields::{Field, Reader};
use crate::nearest;

const RULE_TYPES: &[(&str, ModuleKind)] = &[
    ("ESModule", ModuleKind::Js {}),
    ("CommonJS", ModuleKind::CommonJs {}),
    ("CompiledWasm", ModuleKind::Wasm {}),
    ("Text", ModuleKind::Text {}),
    ("Data", ModuleKind::Data {}),
];

/// The keys of bundling, which all stand at the root.
pub fn modules(
    reader: &mut Reader<'_>,
    root: &Root<'_>,
    folder: &Path,
    main: Option<&Path>,
) -> ModuleOptions {
    let flag = |reader: &mut Reader<'_>, name: &str| {
        let field = root.get(name);
        field.and_then(|field| reader.bool(field)).unwrap_or(false)
    };
    let text = |reader: &mut Reader<'_>, name: &str| {
        let field = root.get(name);
        field.and_then(|field| reader.string(field))
    };
    let base_dir = match text(reader, "base_dir") {
        Some(given) => folder.join(given),
        None => main
            .and_then(Path::parent)
            .map_or_else(PathBuf::new, Path::to_owned),
    };
    if let (Some(main), Some(field)) = (main, root.get("base_dir"))
        && !main.starts_with(&base_dir)
    {
        let message = format!(
            "must be a folder that `main` is in; it is {}",
            main.display()
        );
        reader.error(field, message);
    }
    ModuleOptions {
        no_bundle: flag(reader, "no_bundle"),
        find_additional_modules: flag(reader, "find_additional_modules"),
        base_dir,
        rules: read_rules(reader, root),
        alias: read_alias(reader, root),
        define: read_define(reader, root),
        tsconfig: read_tsconfig(reader, root, folder),
        jsx_factory: text(reader, "jsx_factory"),
        jsx_fragment: text(reader, "jsx_fragment"),
    }
}

fn read_rules(reader: &mut Reader<'_>, root: &Root<'_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for item in tables(reader, root, "rules") {
        let Some(fields) = reader.table_of(&item, &["type", "globs", "fallthrough"]) else {
            continue;
        };
        let kind = read_rule_type(reader, &item, &fields);
        let globs = read_globs(reader, &item, &fields);
        let fallthrough = fields.iter().find(|field| field.name() == "fallthrough");
        let fallthrough = fallthrough.and_then(|field| reader.bool(field));
        if let (Some(kind), Some(globs)) = (kind, globs) {
            rules.push(Rule {
                kind,
                globs,
                fallthrough: fallthrough.unwrap_or(false),
            });
        }
    }
    rules
}

fn read_rule_type(
    reader: &mut Reader<'_>,
    item: &Field<'_>,
    fields: &[Field<'_>],
) -> Option<ModuleKind> {
    let given = reader.required_string(item, fields, "type")?;
    if let Some((_, kind)) = RULE_TYPES.iter().find(|(name, _)| *name == given) {
        return Some(kind.clone());
    }
    let names = RULE_TYPES.iter().map(|(name, _)| *name);
    let known: Vec<&str> = names.clone().collect();
    let near = nearest::among(&given, names);
    let message = match given.as_str() {
        "PythonModule" | "PythonRequirement" => "Python modules are not supported".to_owned(),
        _ => format!(
            "is \"{given}\", which is no module type{near}; allowed are {}",
            known.join(", ")
        ),
    };
    let field = fields.iter().find(|field| field.name() == "type");
    reader.error(field.unwrap_or(item), message);
    None
}

fn read_globs(
    reader: &mut Reader<'_>,
    item: &Field<'_>,
    fields: &[Field<'_>],
) -> Option<Vec<String>> {
    let globs = reader.required(item, fields, "globs")?;
    let globs = reader.list(globs)?;
    globs.iter().map(|glob| reader.string(glob)).collect()
}

fn read_alias(reader: &mut Reader<'_>, root: &Root<'_>) -> Vec<(String, String)> {
    let fields = root.get("alias").and_then(|field| reader.table(field));
    let fields = fields.unwrap_or_default();
    let pairs = fields.iter().filter_map(|field| {
        let target = reader.string(field)?;
        Some((field.name().to_owned(), target))
    });
    pairs.collect()
}

fn read_tsconfig(reader: &mut Reader<'_>, root: &Root<'_>, folder: &Path) -> Option<PathBuf> {
    let field = root.get("tsconfig")?;
    let given = PathBuf::from(reader.string(field)?);
    if !folder.join(&given).is_file() {
        let message = format!("there is no file {}", folder.join(&given).display());
        reader.error(field, message);
    }
    Some(given)
}

/// Whether an expression is one is checked by whoever puts it in.
fn read_define(reader: &mut Reader<'_>, root: &Root<'_>) -> Vec<Define> {
    let fields = root.get("define").and_then(|field| reader.table(field));
    let fields = fields.unwrap_or_default();
    let defines = fields.iter().filter_map(|field| {
        Some(Define {
            name: field.name().to_owned(),
            expression: reader.string(field)?,
            at: reader.place_of(Some(field)),
        })
    });
    defines.collect()
}
