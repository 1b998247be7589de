//! Embeds the platform: strips the types of every TypeScript file under `platform/` and writes
//! them into one table, `PLATFORM`, of names and JavaScript.
//!
//! It checks syntax and nothing more; types are checked by `tsc`. Import specifiers stay as written
//! (`./url.ts`), and a name is the path below `platform/`, so the engine resolves one by the other.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use oxc_allocator::Allocator;
use oxc_codegen::{Codegen, CodegenOptions, CommentOptions};
use oxc_diagnostics::OxcDiagnostic;
use oxc_parser::Parser;
use oxc_semantic::SemanticBuilder;
use oxc_span::SourceType;
use oxc_transformer::{TransformOptions, Transformer, TypeScriptOptions};

fn main() -> Result<(), Box<dyn Error>> {
    // Asked at run time and told relative to the package: a target folder that two clones share
    // would otherwise embed the platform of the clone that compiled this script.
    let package = env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets CARGO_MANIFEST_DIR")?;
    let root = Path::new(&package).join("../../../platform");
    println!("cargo::rerun-if-changed=../../../platform");
    // Room around the code, so that it fills huge pages whole: see `text` of the sandbox.
    println!("cargo::rustc-link-arg-bins=-Wl,-z,max-page-size=2097152");
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();

    let mut table = String::from("/// Every module of the platform: name and JavaScript.\n");
    table.push_str("pub static PLATFORM: &[(&str, &str)] = &[\n");
    let mut faulty = false;
    for file in &files {
        let name = file.strip_prefix(&root)?.to_str().ok_or("odd file name")?;
        match strip(file, &fs::read_to_string(file)?) {
            Ok(code) => writeln!(table, "    ({name:?}, {code:?}),")?,
            Err(faults) => {
                faulty = true;
                for fault in faults {
                    println!("cargo::error=platform/{name}:{fault}");
                }
            }
        }
    }
    table.push_str("];\n");
    if faulty {
        return Err("the platform does not parse".into());
    }
    let out = PathBuf::from(env::var("OUT_DIR")?).join("platform.rs");
    fs::write(out, table)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "node_modules") {
                collect(&path, files)?;
            }
        } else if is_module(&path) {
            files.push(path);
        }
    }
    Ok(())
}

/// Declaration files and tests are for `tsc` and for tests.
fn is_module(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".ts") && !name.ends_with(".d.ts") && !name.ends_with(".test.ts")
}

/// The JavaScript of one file, or its faults as `line:column: message`.
fn strip(path: &Path, source: &str) -> Result<String, Vec<String>> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, source, SourceType::ts().with_module(true)).parse();
    refuse(source, parsed.diagnostics)?;
    let mut program = parsed.program;
    let semantic = SemanticBuilder::new().build(&program);
    refuse(source, semantic.diagnostics)?;
    let options = TransformOptions {
        typescript: TypeScriptOptions {
            // As `verbatimModuleSyntax` has it: only what says `type` goes.
            only_remove_type_imports: true,
            ..TypeScriptOptions::default()
        },
        ..TransformOptions::default()
    };
    let scoping = semantic.semantic.into_scoping();
    let transformed =
        Transformer::new(&allocator, path, &options).build_with_scoping(scoping, &mut program);
    refuse(source, transformed.diagnostics)?;
    // The engine keeps the text for `toString` and lazy compilation, so comments would be paid for
    // in every zygote.
    let options = CodegenOptions {
        comments: CommentOptions::disabled(),
        ..CodegenOptions::default()
    };
    Ok(Codegen::new().with_options(options).build(&program).code)
}

fn refuse(
    source: &str,
    faults: impl IntoIterator<Item = OxcDiagnostic>,
) -> Result<(), Vec<String>> {
    let faults: Vec<String> = faults
        .into_iter()
        .map(|fault| place(source, &fault))
        .collect();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

fn place(source: &str, fault: &OxcDiagnostic) -> String {
    let offset = fault
        .labels
        .first()
        .map_or(0, |label| label.offset() as usize);
    let before = source.get(..offset).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    format!("{line}:{column}: {}", fault.message)
}
