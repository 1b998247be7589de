//! One file's text to JavaScript: TypeScript and JSX are taken out, JavaScript stays as it is.
//!
//! JavaScript keeps every character, so that lines and columns in stacks are those of the file.
//! Nothing is lowered, since the engine runs what the standard has; but decorators, which are to come
//! (`decorators`), or TypeScript's own where `tsconfig.json` asks for them.

use std::borrow::Cow;
use std::path::Path;

use crate::decorators;
use mayfly_config::{Diagnostic, Position};
use oxc_allocator::Allocator;
use oxc_codegen::{Codegen, CodegenOptions};
use oxc_diagnostics::OxcDiagnostic;
use oxc_parser::Parser;
use oxc_resolver::CompilerOptions;
use oxc_semantic::SemanticBuilder;
use oxc_span::SourceType;
use oxc_transformer::{
    DecoratorOptions, JsxOptions, JsxRuntime, TransformOptions, Transformer, TypeScriptOptions,
};

/// How a project writes JSX and TypeScript, from its wrangler file and its `tsconfig.json`.
#[derive(Debug, Clone)]
pub struct Dialect {
    jsx: JsxOptions,
    typescript: TypeScriptOptions,
    decorators: DecoratorOptions,
}

impl Dialect {
    /// The wrangler file's word counts before `tsconfig.json`'s.
    pub fn new(
        factory: Option<&str>,
        fragment: Option<&str>,
        tsconfig: Option<&CompilerOptions>,
    ) -> Self {
        let none = CompilerOptions::default();
        let tsconfig = tsconfig.unwrap_or(&none);
        let own = |text: Option<&str>| text.map(str::to_owned);
        let mut jsx = JsxOptions {
            runtime: JsxRuntime::Classic,
            pragma: own(factory).or_else(|| tsconfig.jsx_factory.clone()),
            pragma_frag: own(fragment).or_else(|| tsconfig.jsx_fragment_factory.clone()),
            import_source: tsconfig.jsx_import_source.clone(),
            ..JsxOptions::enable()
        };
        if factory.is_none() && tsconfig.jsx.as_deref().is_some_and(is_automatic) {
            jsx.runtime = JsxRuntime::Automatic;
            (jsx.pragma, jsx.pragma_frag) = (None, None);
        } else {
            jsx.import_source = None;
        }
        let mut typescript = TypeScriptOptions {
            only_remove_type_imports: tsconfig.verbatim_module_syntax.unwrap_or(false),
            ..TypeScriptOptions::default()
        };
        if let Some(pragma) = &jsx.pragma {
            typescript.jsx_pragma = Cow::Owned(pragma.clone());
        }
        if let Some(pragma) = &jsx.pragma_frag {
            typescript.jsx_pragma_frag = Cow::Owned(pragma.clone());
        }
        let decorators = DecoratorOptions {
            legacy: tsconfig.experimental_decorators.unwrap_or(false),
            emit_decorator_metadata: tsconfig.emit_decorator_metadata.unwrap_or(false),
            ..DecoratorOptions::default()
        };
        Self {
            jsx,
            typescript,
            decorators,
        }
    }
}

fn is_automatic(mode: &str) -> bool {
    matches!(mode, "react-jsx" | "react-jsxdev")
}

/// What a file is written in, by its ending. `None` is JavaScript or no script at all.
pub fn needs_transform(path: &Path) -> Option<SourceType> {
    let source_type = match path.extension()?.to_str()? {
        "ts" | "mts" | "cts" => SourceType::ts(),
        "tsx" => SourceType::tsx(),
        "jsx" => SourceType::jsx(),
        _ => return None,
    };
    Some(source_type)
}

/// The JavaScript of a TypeScript or JSX file. Its last line is a source map, by which stacks in the
/// Worker name lines of the file on disk; the map holds no text of that file.
pub fn transform(
    path: &Path,
    text: &str,
    source_type: SourceType,
    dialect: &Dialect,
) -> Result<String, Vec<Diagnostic>> {
    let lowered = match dialect.decorators.legacy {
        true => None,
        false => decorators::lower(path, text, source_type)?,
    };
    let text = lowered.as_deref().unwrap_or(text);
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, text, source_type).parse();
    refuse(path, text, parsed.diagnostics)?;
    let mut program = parsed.program;
    let semantic = SemanticBuilder::new().with_enum_eval(true).build(&program);
    refuse(path, text, semantic.diagnostics)?;
    let options = TransformOptions {
        typescript: dialect.typescript.clone(),
        decorator: dialect.decorators,
        jsx: dialect.jsx.clone(),
        ..TransformOptions::default()
    };
    let scoping = semantic.semantic.into_scoping();
    let transformed =
        Transformer::new(&allocator, path, &options).build_with_scoping(scoping, &mut program);
    refuse(path, text, transformed.diagnostics)?;
    let codegen = CodegenOptions {
        source_map_path: Some(path.to_owned()),
        ..CodegenOptions::default()
    };
    let built = Codegen::new().with_options(codegen).build(&program);
    let mut code = built.code;
    if let Some(mut map) = built.map {
        map.set_source_contents(Vec::new());
        code.push_str("\n//# sourceMappingURL=");
        code.push_str(&map.to_data_url());
        code.push('\n');
    }
    Ok(code)
}

/// The errors among a tool's findings, by place.
pub fn refuse(
    path: &Path,
    text: &str,
    findings: impl IntoIterator<Item = OxcDiagnostic>,
) -> Result<(), Vec<Diagnostic>> {
    let errors: Vec<Diagnostic> = findings
        .into_iter()
        .filter(|finding| finding.severity == oxc_diagnostics::Severity::Error)
        .map(|finding| {
            let at = finding.labels.first().map_or(0, |label| label.offset());
            let place = position(path, text, at as usize);
            diagnostic(place, finding.message.to_string())
        })
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// A message about a place in a file.
pub fn diagnostic(place: Position, message: String) -> Diagnostic {
    Diagnostic {
        position: Some(place),
        key: String::new(),
        message,
    }
}

/// The line and column of a byte offset.
pub fn position(path: &Path, text: &str, at: usize) -> Position {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Position {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[start..].chars().count() + 1,
    }
}
