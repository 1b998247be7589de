//! What a JavaScript file imports and exports, read from its syntax tree.
//!
//! Only what can be known without running it: literal specifiers, and for CommonJS the names that
//! are assigned in the usual ways. A specifier that is computed is left alone and will be looked
//! up by the guest at run time.
//!
//! Invariant: offsets are into the text that was scanned.

use std::collections::BTreeSet;
use std::path::Path;

use mayfly_config::Diagnostic;
use oxc_allocator::Allocator;
use oxc_ast::ast::{
    Argument, AssignmentExpression, AssignmentTarget, CallExpression, ExportAllDeclaration,
    ExportFromDeclaration, Expression, IdentifierReference, ImportDeclaration,
    ImportDeclarationSpecifier, ImportExpression, ObjectExpression, ObjectProperty,
    ObjectPropertyKind, StaticMemberExpression, TryStatement,
};
use oxc_ast_visit::{Visit, walk};
use oxc_parser::Parser;
use oxc_semantic::{Scoping, SemanticBuilder};
use oxc_span::{GetSpan, SourceType, Span};

use crate::define::Defines;
use crate::source::refuse;

/// How a file speaks of other files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// It has `import`, `export` or `import.meta`.
    Module,
    /// It has none, but uses `require`, `module` or `exports`.
    CommonJs,
    /// It has nothing of either.
    Neither,
}

/// A literal specifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// As it is written.
    pub specifier: String,
    /// Where it stands, quotes included.
    pub start: usize,
    /// Its end.
    pub end: usize,
    pub form: Form,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// `import` or `export ... from`, with the names that are asked for.
    Static(Names),
    /// `import()`.
    Dynamic,
    /// `require()`.
    Require {
        /// Inside `try`, where a missing module is expected to be survivable.
        guarded: bool,
    },
}

/// What a static import asks of another module.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Names(pub BTreeSet<String>);

/// What a CommonJS file seems to export.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Exports {
    pub names: BTreeSet<String>,
    /// Specifiers whose exports it passes on.
    pub from: Vec<String>,
}

/// Text to be put in the place of another.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    pub start: usize,
    pub end: usize,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    pub syntax: Syntax,
    pub imports: Vec<Import>,
    /// Meaningful for CommonJS only.
    pub exports: Exports,
    /// Names in whose place the project puts expressions.
    pub edits: Vec<Edit>,
}

/// Scans JavaScript.
pub fn scan(
    path: &Path,
    text: &str,
    source_type: SourceType,
    defines: &Defines,
) -> Result<Scan, Vec<Diagnostic>> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, text, source_type).parse();
    refuse(path, text, parsed.diagnostics)?;
    let has_module_syntax = parsed.module_record.has_module_syntax;
    let built = SemanticBuilder::new().build(&parsed.program);
    let scoping = built.semantic.scoping();
    let unresolved = scoping.root_unresolved_references();
    let uses_common_js = ["require", "module", "exports"]
        .iter()
        .any(|name| unresolved.keys().any(|key| key.as_str() == *name));
    let syntax = match (has_module_syntax, uses_common_js) {
        (true, _) => Syntax::Module,
        (false, true) => Syntax::CommonJs,
        (false, false) => Syntax::Neither,
    };
    let mut visitor = Visitor {
        scoping,
        defines,
        syntax,
        guards: 0,
        imports: Vec::new(),
        exports: Exports::default(),
        edits: Vec::new(),
    };
    visitor.visit_program(&parsed.program);
    Ok(Scan {
        syntax,
        imports: visitor.imports,
        exports: visitor.exports,
        edits: visitor.edits,
    })
}

struct Visitor<'s> {
    scoping: &'s Scoping,
    defines: &'s Defines,
    syntax: Syntax,
    /// `try` blocks around the current node.
    guards: usize,
    imports: Vec<Import>,
    exports: Exports,
    edits: Vec<Edit>,
}

impl Visitor<'_> {
    fn add(&mut self, specifier: &str, span: Span, form: Form) {
        self.imports.push(Import {
            specifier: specifier.to_owned(),
            start: span.start as usize,
            end: span.end as usize,
            form,
        });
    }

    /// Whether it is this name, and nothing in the file binds it.
    fn is_free(&self, identifier: &IdentifierReference<'_>, name: &str) -> bool {
        identifier.name == name && self.is_unbound(identifier)
    }

    fn is_unbound(&self, identifier: &IdentifierReference<'_>) -> bool {
        let reference = identifier.reference_id.get();
        reference.is_none_or(|id| self.scoping.get_reference(id).symbol_id().is_none())
    }

    /// What the project puts in the place of `NAME` or `a.b.NAME`.
    fn defined(&self, expression: &Expression<'_>) -> Option<&str> {
        if self.defines.is_empty() {
            return None;
        }
        let mut path = Vec::new();
        let mut at = expression;
        while let Expression::StaticMemberExpression(member) = at {
            path.push(member.property.name.as_str());
            at = &member.object;
        }
        let Expression::Identifier(root) = at else {
            return None;
        };
        path.push(root.name.as_str());
        path.reverse();
        let found = self.defines.find(&path)?;
        self.is_unbound(root).then_some(found)
    }

    fn replace(&mut self, span: Span, text: String) {
        self.edits.push(Edit {
            start: span.start as usize,
            end: span.end as usize,
            text,
        });
    }

    /// `exports` or `module.exports`.
    fn is_exports(&self, expression: &Expression<'_>) -> bool {
        match expression {
            Expression::Identifier(identifier) => self.is_free(identifier, "exports"),
            Expression::StaticMemberExpression(member) => self.is_module_exports(member),
            _ => false,
        }
    }

    fn is_module_exports(&self, member: &StaticMemberExpression<'_>) -> bool {
        let of_module = matches!(&member.object, Expression::Identifier(identifier)
            if self.is_free(identifier, "module"));
        of_module && member.property.name == "exports"
    }

    /// The specifier of a `require("...")`.
    fn required<'a>(&self, expression: &Expression<'a>) -> Option<(&'a str, Span)> {
        let Expression::CallExpression(call) = expression else {
            return None;
        };
        self.required_by(call)
    }

    fn required_by<'a>(&self, call: &CallExpression<'a>) -> Option<(&'a str, Span)> {
        let Expression::Identifier(callee) = &call.callee else {
            return None;
        };
        if !self.is_free(callee, "require") {
            return None;
        }
        match call.arguments.first()? {
            Argument::StringLiteral(text) => Some((text.value.as_str(), text.span)),
            Argument::TemplateLiteral(text) if text.expressions.is_empty() => {
                let cooked = text.quasis.first()?.value.cooked.as_ref()?;
                Some((cooked.as_str(), text.span))
            }
            _ => None,
        }
    }

    fn exports_assigned(&mut self, target: &AssignmentTarget<'_>, value: &Expression<'_>) {
        let Some(member) = target.as_member_expression() else {
            return;
        };
        if self.is_exports(member.object())
            && let Some(name) = member.static_property_name()
        {
            self.exports.names.insert(name.to_owned());
        }
        let whole = matches!(target, AssignmentTarget::StaticMemberExpression(member)
            if self.is_module_exports(member));
        if !whole {
            return;
        }
        match value {
            Expression::ObjectExpression(object) => self.exports_listed(object),
            // `module.exports = exports = { ... }` is walked into by itself.
            value => self.passed_on(value),
        }
    }

    fn exports_listed(&mut self, object: &ObjectExpression<'_>) {
        for property in &object.properties {
            match property {
                ObjectPropertyKind::ObjectProperty(property) => {
                    if let Some(name) = property.key.static_name() {
                        self.exports.names.insert(name.into_owned());
                    }
                }
                ObjectPropertyKind::SpreadProperty(spread) => self.passed_on(&spread.argument),
            }
        }
    }

    fn passed_on(&mut self, value: &Expression<'_>) {
        if let Some((specifier, _)) = self.required(value) {
            self.exports.from.push(specifier.to_owned());
        }
    }

    /// `Object.defineProperty(exports, "x", ...)`, `__exportStar(require("x"), exports)`.
    fn exports_called(&mut self, call: &CallExpression<'_>) {
        let arguments: Vec<&Expression<'_>> = call
            .arguments
            .iter()
            .filter_map(Argument::as_expression)
            .collect();
        match (call.callee_name(), arguments.as_slice()) {
            (Some("defineProperty"), [target, Expression::StringLiteral(name), ..])
                if self.is_exports(target) =>
            {
                self.exports.names.insert(name.value.to_string());
            }
            (Some("__exportStar" | "__export" | "__reExport"), [first, rest @ ..]) => {
                self.passed_on(first);
                rest.iter().for_each(|value| self.passed_on(value));
            }
            _ => {}
        }
    }
}

impl<'a> Visit<'a> for Visitor<'_> {
    fn visit_import_declaration(&mut self, it: &ImportDeclaration<'a>) {
        let mut names = Names::default();
        for specifier in it.specifiers.iter().flatten() {
            if let ImportDeclarationSpecifier::ImportSpecifier(named) = specifier {
                names.0.insert(named.imported.name().to_string());
            }
        }
        self.add(&it.source.value, it.source.span, Form::Static(names));
    }

    fn visit_export_from_declaration(&mut self, it: &ExportFromDeclaration<'a>) {
        let locals = it.specifiers.iter().map(|one| one.local.name().to_string());
        let names = Names(locals.collect());
        self.add(&it.source.value, it.source.span, Form::Static(names));
    }

    fn visit_export_all_declaration(&mut self, it: &ExportAllDeclaration<'a>) {
        let names = Names::default();
        self.add(&it.source.value, it.source.span, Form::Static(names));
    }

    fn visit_import_expression(&mut self, it: &ImportExpression<'a>) {
        if let Expression::StringLiteral(text) = &it.source {
            self.add(&text.value, text.span, Form::Dynamic);
        }
        walk::walk_import_expression(self, it);
    }

    fn visit_call_expression(&mut self, it: &CallExpression<'a>) {
        // An ES module has no `require` of its own: one that is free there is not ours.
        if self.syntax != Syntax::Module {
            if let Some((specifier, span)) = self.required_by(it) {
                let guarded = self.guards > 0;
                self.add(specifier, span, Form::Require { guarded });
            }
            self.exports_called(it);
        }
        walk::walk_call_expression(self, it);
    }

    fn visit_assignment_expression(&mut self, it: &AssignmentExpression<'a>) {
        self.exports_assigned(&it.left, &it.right);
        walk::walk_assignment_expression(self, it);
    }

    // Only where a value is read: what is assigned to is no expression.
    fn visit_expression(&mut self, it: &Expression<'a>) {
        match self.defined(it) {
            Some(text) => {
                let (span, text) = (it.span(), text.to_owned());
                self.replace(span, text);
            }
            None => walk::walk_expression(self, it),
        }
    }

    fn visit_object_property(&mut self, it: &ObjectProperty<'a>) {
        match (it.shorthand, self.defined(&it.value)) {
            (true, Some(text)) => {
                let name = it.key.static_name().unwrap_or_default();
                let text = format!("{name}: {text}");
                self.replace(it.span, text);
            }
            _ => walk::walk_object_property(self, it),
        }
    }

    fn visit_try_statement(&mut self, it: &TryStatement<'a>) {
        self.guards += 1;
        self.visit_block_statement(&it.block);
        self.guards -= 1;
        if let Some(handler) = &it.handler {
            self.visit_catch_clause(handler);
        }
        if let Some(finalizer) = &it.finalizer {
            self.visit_block_statement(finalizer);
        }
    }
}

/// `text` with the edits made.
pub fn apply(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| edit.start);
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for edit in edits {
        out.push_str(text.get(from..edit.start).unwrap_or_default());
        out.push_str(&edit.text);
        from = edit.end;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::position;
    use mayfly_config::Define;

    fn defines() -> Defines {
        let define = |name: &str, expression: &str| Define {
            name: name.to_owned(),
            expression: expression.to_owned(),
            at: position(Path::new("w.json"), "", 0),
        };
        let given = [define("FLAG", "{\"a\":1}"), define("build.N", "-1")];
        Defines::new(&given).unwrap()
    }

    fn scanned(text: &str) -> Scan {
        let source_type = SourceType::unambiguous();
        scan(Path::new("a.js"), text, source_type, &defines()).unwrap()
    }

    fn specifiers(text: &str) -> Vec<String> {
        let scan = scanned(text);
        let quoted = |one: &Import| text[one.start + 1..one.end - 1] == one.specifier;
        assert!(scan.imports.iter().all(quoted));
        scan.imports.into_iter().map(|one| one.specifier).collect()
    }

    #[test]
    fn imports_of_every_form_are_found() {
        let text = "import a, { b as c } from 'a'; import * as d from \"b\"; import 'c';\n\
            export { e } from 'd'; export * from 'e'; export * as f from 'f';\n\
            const g = await import('g'); import source h from './h.wasm'; import(a); require('i');";
        let expect = ["a", "b", "c", "d", "e", "f", "g", "./h.wasm"];
        assert_eq!(specifiers(text), expect);
        assert_eq!(scanned(text).syntax, Syntax::Module);
        let names = Names(["b".to_owned()].into());
        assert_eq!(scanned(text).imports[0].form, Form::Static(names));
    }

    #[test]
    fn requires_are_found_unless_require_is_someone_elses() {
        assert_eq!(
            specifiers("const a = require('a'); require(`b`); require(a)"),
            ["a", "b"]
        );
        assert_eq!(
            specifiers("(require => require('a'))(x); module.exports = 1"),
            ["a"; 0]
        );
        let text = "try { require('a') } catch { require('b') }";
        let guards: Vec<Form> = scanned(text)
            .imports
            .into_iter()
            .map(|one| one.form)
            .collect();
        let guarded = |guarded| Form::Require { guarded };
        assert_eq!(guards, [guarded(true), guarded(false)]);
    }

    #[test]
    fn syntax_is_told_apart() {
        let check = |text: &str, expect: Syntax| assert_eq!(scanned(text).syntax, expect, "{text}");
        check("export {}", Syntax::Module);
        check("import.meta.url", Syntax::Module);
        check("exports.a = 1", Syntax::CommonJs);
        check("globalThis.x = 1", Syntax::Neither);
        check("let module = 1; module.exports = 2", Syntax::Neither);
        check("import('a')", Syntax::Neither);
    }

    #[test]
    fn exports_of_common_js_are_guessed() {
        let check = |text: &str, names: &[&str], from: &[&str]| {
            let exports = scanned(text).exports;
            let found: Vec<&str> = exports.names.iter().map(String::as_str).collect();
            assert_eq!(
                (found.as_slice(), exports.from.as_slice()),
                (names, &owned(from)[..]),
                "{text}"
            );
        };
        check(
            "exports.a = exports.b = 1; module.exports.c = 2",
            &["a", "b", "c"],
            &[],
        );
        check(
            "module.exports = { d, 'e': 1, ...require('x') }",
            &["d", "e"],
            &["x"],
        );
        check("module.exports = require('./y')", &[], &["./y"]);
        check(
            "Object.defineProperty(exports, 'f', { get() {} })",
            &["f"],
            &[],
        );
        check("__exportStar(require('./z'), exports)", &[], &["./z"]);
        check("0 && (module.exports = { g })", &["g"], &[]);
        check("other.exports.h = 1", &[], &[]);
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn the_mode_is_written_in() {
        let text = "if (process.env.NODE_ENV !== 'x') { exports.a = process.env.OTHER }";
        let scan = scanned(text);
        let expect = "if (\"production\" !== 'x') { exports.a = process.env.OTHER }";
        assert_eq!(apply(text, scan.edits), expect);
        assert!(
            scanned("let process; process.env.NODE_ENV")
                .edits
                .is_empty()
        );
    }

    #[test]
    fn definitions_are_written_in_where_the_name_is_free() {
        let check = |text: &str, expect: &str| {
            assert_eq!(apply(text, scanned(text).edits), expect);
        };
        check(
            "use(FLAG, build.N, build.M)",
            "use(({\"a\":1}), (-1), build.M)",
        );
        check(
            "use({ FLAG, x: FLAG.a })",
            "use({ FLAG: ({\"a\":1}), x: ({\"a\":1}).a })",
        );
        check(
            "FLAG = 1; build.N = 2; x.FLAG",
            "FLAG = 1; build.N = 2; x.FLAG",
        );
        check("(FLAG => FLAG)(FLAG)", "(FLAG => FLAG)(({\"a\":1}))");
    }

    #[test]
    fn syntax_errors_have_a_place() {
        let errors = scan(
            Path::new("a.js"),
            "let a;\nlet = = 1",
            SourceType::mjs(),
            &defines(),
        )
        .unwrap_err();
        assert!(errors[0].to_string().starts_with("a.js:2:"), "{errors:?}");
    }
}
