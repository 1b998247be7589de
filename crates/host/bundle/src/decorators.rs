//! Decorators of the standard's proposal, and `accessor` fields, in words that the engine has.
//!
//! What wrangler's bundler does, and what Cloudflare's own packages are written for (`@callable()`). The text
//! is edited in place, before anything else is done to it, so that every line stays where it was: a
//! decorator of a member becomes a static block before it, which hands what the expression gives to the
//! class's own record; the record (`decorators.js`, behind the file's last line) applies them.
//!
//! Deliberately absent, with an error: decorators of private methods and private accessors, and accessors with
//! a computed key. TypeScript's own older decorators are `oxc_transformer`'s (`experimentalDecorators`).
//!
//! Differences to the proposal: static fields are decorated when they are initialised and not before the
//! methods; `this` in a decorator's expression is the class; inside a decorated class its name means the class
//! before it was decorated.

use std::path::Path;

use mayfly_config::Diagnostic;
use oxc_allocator::Allocator;
use oxc_ast::ast::{
    AccessorProperty, Class, ClassElement, Declaration, Decorator, ExportDeclaration,
    ExportDefaultDeclaration, ExportDefaultDeclarationKind, MethodDefinition, MethodDefinitionKind,
    PropertyDefinition, PropertyKey,
};
use oxc_ast_visit::{Visit, walk};
use oxc_parser::Parser;
use oxc_span::{GetSpan, SourceType, Span};

use crate::source::{diagnostic, position};

/// The record of one class.
const RUNTIME: &str = include_str!("decorators.js");

/// The text without decorators; `None` where there are none. What does not parse is for others to say.
pub fn lower(
    path: &Path,
    text: &str,
    source_type: SourceType,
) -> Result<Option<String>, Vec<Diagnostic>> {
    if !may_have(text) {
        return Ok(None);
    }
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, text, source_type).parse();
    let mut lowering = Lowering {
        path,
        text,
        edits: Vec::new(),
        errors: Vec::new(),
        classes: 0,
        export: None,
    };
    lowering.visit_program(&parsed.program);
    if !lowering.errors.is_empty() {
        return Err(lowering.errors);
    }
    if lowering.edits.is_empty() || !parsed.diagnostics.is_empty() {
        return Ok(None);
    }
    let mut lowered = applied(text, lowering.edits);
    lowered.push('\n');
    lowered.push_str(RUNTIME);
    Ok(Some(lowered))
}

/// Whether some line has what may be one; most files have `@` in comments alone.
fn may_have(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_start();
        let is_comment = line.starts_with('*') || line.starts_with("//");
        !is_comment && (line.contains('@') || line.contains("accessor"))
    })
}

/// A piece of text to be taken out, and what comes in its place.
struct Edit {
    at: usize,
    taken: usize,
    /// It belongs to what ends here, and so comes before what begins here.
    ends: bool,
    text: String,
}

fn applied(text: &str, mut edits: Vec<Edit>) -> String {
    // Stable, so that of two that begin at one place the outer one, made first, comes first.
    edits.sort_by_key(|edit| (edit.at, !edit.ends));
    let mut lowered = String::with_capacity(text.len() + RUNTIME.len() + 64 * edits.len());
    let mut at = 0;
    for edit in edits {
        lowered.push_str(text.get(at..edit.at).unwrap_or_default());
        lowered.push_str(&edit.text);
        at = edit.at + edit.taken;
    }
    lowered.push_str(text.get(at..).unwrap_or_default());
    lowered
}

struct Lowering<'t> {
    path: &'t Path,
    text: &'t str,
    edits: Vec<Edit>,
    errors: Vec<Diagnostic>,
    /// How many had a record.
    classes: usize,
    /// The export around the class that is visited next.
    export: Option<Export>,
}

/// `export` or `export default` before a class.
struct Export {
    start: usize,
    default: bool,
}

impl Export {
    fn new(span: Span, default: bool) -> Self {
        Self {
            start: start(span),
            default,
        }
    }
}

/// What is told of a member at run time.
struct Row {
    kind: &'static str,
    is_static: bool,
    /// JavaScript of its name.
    name: String,
    /// JavaScript of an object for the `access` of a private one.
    access: Option<String>,
}

fn start(span: Span) -> usize {
    span.start as usize
}

fn end(span: Span) -> usize {
    span.end as usize
}

impl<'a> Visit<'a> for Lowering<'_> {
    fn visit_export_declaration(&mut self, it: &ExportDeclaration<'a>) {
        let is_class = matches!(it.declaration, Declaration::ClassDeclaration(_));
        self.export = is_class.then(|| Export::new(it.span, false));
        walk::walk_export_declaration(self, it);
        self.export = None;
    }

    fn visit_export_default_declaration(&mut self, it: &ExportDefaultDeclaration<'a>) {
        let is_class = matches!(
            it.declaration,
            ExportDefaultDeclarationKind::ClassDeclaration(_)
        );
        self.export = is_class.then(|| Export::new(it.span, true));
        walk::walk_export_default_declaration(self, it);
        self.export = None;
    }

    fn visit_class(&mut self, class: &Class<'a>) {
        let export = self.export.take().filter(|_| class.is_declaration());
        let members = &class.body.body;
        let is_decorated = !class.decorators.is_empty() || members.iter().any(has_decorators);
        let record = is_decorated.then(|| {
            self.classes += 1;
            format!("$mayfly{}", self.classes)
        });
        if let Some(record) = &record {
            match class.is_declaration() {
                true => self.before_declaration(class, record, export.as_ref()),
                false => self.before_expression(class, record),
            }
        }
        let mut rows = Vec::new();
        let mut after = Vec::new();
        for member in members {
            self.member(member, record.as_deref(), &mut rows, &mut after);
        }
        if let Some(record) = &record {
            self.within(class, record, &rows);
        }
        walk::walk_class(self, class);
        self.edits.append(&mut after);
        if is_decorated {
            self.after(class, export.as_ref());
        }
    }
}

fn has_decorators(member: &ClassElement<'_>) -> bool {
    match member {
        ClassElement::MethodDefinition(method) => !method.decorators.is_empty(),
        ClassElement::PropertyDefinition(field) => !field.decorators.is_empty(),
        ClassElement::AccessorProperty(field) => !field.decorators.is_empty(),
        ClassElement::StaticBlock(_) | ClassElement::TSIndexSignature(_) => false,
    }
}

impl Lowering<'_> {
    fn insert(&mut self, at: usize, text: String) {
        self.replace(at, 0, text);
    }

    fn replace(&mut self, at: usize, taken: usize, text: String) {
        self.edits.push(Edit {
            at,
            taken,
            ends: false,
            text,
        });
    }

    fn insert_end(&mut self, at: usize, text: String) {
        self.edits.push(ending(at, text));
    }

    fn refuse(&mut self, at: usize, message: &str) {
        let place = position(self.path, self.text, at);
        self.errors.push(diagnostic(place, message.to_owned()));
    }

    fn slice(&self, from: usize, to: usize) -> &str {
        self.text.get(from..to).unwrap_or_default()
    }

    /// Turns `@expression` into what stands before and after the expression.
    fn decorator(&mut self, decorator: &Decorator<'_>, before: String, after: &str) {
        self.replace(start(decorator.span), 1, before);
        self.insert_end(end(decorator.span), after.to_owned());
    }

    /// Makes the record of an expression, a function's parameter, and evaluates the class's own decorators.
    fn before_expression(&mut self, class: &Class<'_>, record: &str) {
        let (Some(first), Some(last)) = (class.decorators.first(), class.decorators.last()) else {
            return self.insert(start(class.span), format!("(({record})=>"));
        };
        let begin = start(first.span).min(start(class.span));
        self.insert(begin, format!("(({record})=>("));
        for decorator in &class.decorators {
            self.decorator(decorator, format!("{record}.ofClass(("), ")),");
        }
        let keyword = start(class.span).max(end(last.span));
        self.insert(keyword, format!(" {record}.done("));
    }

    /// The same of a declaration, which becomes a variable's where the class itself is decorated.
    fn before_declaration(&mut self, class: &Class<'_>, record: &str, export: Option<&Export>) {
        let own = class.decorators.first().map(|first| start(first.span));
        let decorators_end = class.decorators.last().map(|last| end(last.span));
        // Where `class` or a word before it stands.
        let keyword = start(class.span).max(decorators_end.unwrap_or_default());
        let begin = [own, Some(start(class.span)), export.map(|it| it.start)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or_default();
        self.insert(begin, format!("const {record}=$mayflyDecorators();"));
        let Some(own) = own else { return };
        for decorator in &class.decorators {
            self.decorator(decorator, format!("{record}.ofClass(("), "));");
        }
        // The words of an export, before the decorators or behind them, make place for a variable's; so does
        // `abstract`.
        match (export, decorators_end) {
            (Some(export), _) if export.start < own => self.blank(export.start, own),
            (Some(_), Some(decorators_end)) => self.blank(decorators_end, keyword),
            _ => {}
        }
        let class_word = self.slice(keyword, start(class.body.span)).find("class");
        let class_word = keyword + class_word.unwrap_or_default();
        let name = class.id.as_ref().map(|id| id.name.as_str());
        let head = match (export, name) {
            (Some(export), None) if export.default => "export default ".to_owned(),
            (Some(export), Some(name)) if !export.default => format!("export let {name}="),
            (_, Some(name)) => format!("let {name}="),
            (_, None) => String::new(),
        };
        self.blank(keyword, class_word);
        self.insert(class_word, format!(" {head}{record}.done("));
    }

    /// Takes words out and leaves lines.
    fn blank(&mut self, from: usize, to: usize) {
        if from < to {
            let lines = "\n".repeat(self.slice(from, to).matches('\n').count());
            self.replace(from, to - from, lines);
        }
    }

    /// What stands at the begin and the end of the class's body.
    fn within(&mut self, class: &Class<'_>, record: &str, rows: &[Row]) {
        let rows_text: Vec<String> = rows
            .iter()
            .map(|row| {
                let Row {
                    kind,
                    is_static,
                    name,
                    access,
                } = row;
                let access = access
                    .as_ref()
                    .map_or_else(String::new, |it| format!(",{it}"));
                format!("[\"{kind}\",{is_static},{name}{access}]")
            })
            .collect();
        let begin = start(class.body.span) + 1;
        let table = rows_text.join(",");
        let mut text = format!("static{{{record}.begin(this,[{table}]);}}");
        let has_methods = rows
            .iter()
            .any(|row| !row.is_static && !matches!(row.kind, "field" | "accessor"));
        if has_methods {
            text.push_str(&format!("#{record}={record}.instance(this);"));
        }
        self.insert(begin, text);
        self.insert(
            end(class.body.span) - 1,
            format!("static{{{record}.end();}}"),
        );
    }

    /// What stands behind it.
    fn after(&mut self, class: &Class<'_>, export: Option<&Export>) {
        let is_decorated = !class.decorators.is_empty();
        let name = class.id.as_ref().map(|id| id.name.as_str());
        let text = match (class.is_declaration(), is_decorated) {
            // Of `done`, of the sequence, of the function.
            (false, true) => ")))($mayflyDecorators())".to_owned(),
            (false, false) => ")($mayflyDecorators())".to_owned(),
            (true, false) => return,
            (true, true) => match (export, name) {
                (Some(export), Some(name)) if export.default => {
                    format!(");export{{{name} as default}};")
                }
                _ => ");".to_owned(),
            },
        };
        self.insert_end(end(class.span), text);
    }

    fn member(
        &mut self,
        member: &ClassElement<'_>,
        record: Option<&str>,
        rows: &mut Vec<Row>,
        after: &mut Vec<Edit>,
    ) {
        match (member, record) {
            (ClassElement::MethodDefinition(method), Some(record)) => {
                self.method(method, record, rows);
            }
            (ClassElement::PropertyDefinition(field), Some(record)) => {
                self.field(field, record, rows, after);
            }
            (ClassElement::AccessorProperty(field), _) => {
                self.accessor(field, record, rows, after);
            }
            _ => {}
        }
    }

    /// Evaluates the decorators of a member, each in a static block at its place.
    fn given(&mut self, decorators: &[Decorator<'_>], record: &str, index: usize) {
        for decorator in decorators {
            let before = format!("static{{{record}.give({index},(");
            self.decorator(decorator, before, "));}");
        }
    }

    /// JavaScript of a key; what a computed one gives is kept on its way.
    fn key(&mut self, key: &PropertyKey<'_>, computed: bool, record: &str, index: usize) -> String {
        let span = key.span();
        match key {
            PropertyKey::StaticIdentifier(name) if !computed => format!("{:?}", name.name.as_str()),
            PropertyKey::PrivateIdentifier(name) => format!("\"#{}\"", name.name.as_str()),
            _ if computed => {
                self.insert(start(span), format!("{record}.key({index},("));
                self.insert_end(end(span), "))".to_owned());
                "\"\"".to_owned()
            }
            // A string or a number, which names what its text does.
            _ => format!("String({})", self.slice(start(span), end(span))),
        }
    }

    fn method(&mut self, method: &MethodDefinition<'_>, record: &str, rows: &mut Vec<Row>) {
        if method.decorators.is_empty() {
            return;
        }
        if matches!(method.key, PropertyKey::PrivateIdentifier(_)) {
            let message = "a private method cannot be decorated here: make it public, or call what the \
                decorator would make of it";
            return self.refuse(start(method.span), message);
        }
        let index = rows.len();
        self.given(&method.decorators, record, index);
        let name = self.key(&method.key, method.computed, record, index);
        let kind = match method.kind {
            MethodDefinitionKind::Get => "getter",
            MethodDefinitionKind::Set => "setter",
            MethodDefinitionKind::Method | MethodDefinitionKind::Constructor => "method",
        };
        rows.push(Row {
            kind,
            is_static: method.r#static,
            name,
            access: None,
        });
    }

    fn field(
        &mut self,
        field: &PropertyDefinition<'_>,
        record: &str,
        rows: &mut Vec<Row>,
        after: &mut Vec<Edit>,
    ) {
        if field.decorators.is_empty() {
            return;
        }
        let index = rows.len();
        self.given(&field.decorators, record, index);
        let name = self.key(&field.key, field.computed, record, index);
        let access = match &field.key {
            PropertyKey::PrivateIdentifier(name) => {
                let name = name.name.as_str();
                Some(format!(
                    "{{has:(o)=>#{name} in o,get:(o)=>o.#{name},set:(o,v)=>{{o.#{name}=v;}}}}"
                ))
            }
            _ => None,
        };
        rows.push(Row {
            kind: "field",
            is_static: field.r#static,
            name,
            access,
        });
        let value = field.value.as_ref().map(GetSpan::span);
        // It has a value now, and so no `!`.
        let type_start = field.type_annotation.as_ref().map(|it| start(it.span));
        if let (true, Some(type_start)) = (field.definite, type_start) {
            let key_end = end(field.key.span());
            let mark = self.slice(key_end, type_start).find('!');
            self.replace(key_end + mark.unwrap_or_default(), 1, String::new());
        }
        self.initial(field.span, value, record, index, after);
        after.push(ending(
            end(field.span),
            run_after(field.r#static, record, index),
        ));
    }

    /// The value of a field goes through its decorators.
    fn initial(
        &mut self,
        field: Span,
        value: Option<Span>,
        record: &str,
        index: usize,
        after: &mut Vec<Edit>,
    ) {
        if let Some(value) = value {
            self.insert(start(value), format!("{record}.field(this,{index},("));
            after.push(ending(end(value), "))".to_owned()));
            return;
        }
        let text = self.slice(start(field), end(field));
        let bare = text.trim_end_matches(|it: char| it == ';' || it.is_whitespace());
        let at = start(field) + bare.len();
        self.insert_end(at, format!("={record}.field(this,{index})"));
    }

    fn accessor(
        &mut self,
        field: &AccessorProperty<'_>,
        record: Option<&str>,
        rows: &mut Vec<Row>,
        after: &mut Vec<Edit>,
    ) {
        if field.computed {
            return self.refuse(
                start(field.span),
                "an accessor cannot have a computed key here",
            );
        }
        let key = field.key.span();
        let name = self.slice(start(key), end(key)).to_owned();
        let is_private = matches!(field.key, PropertyKey::PrivateIdentifier(_));
        let is_static = if field.r#static { "static " } else { "" };
        self.classes += 1;
        let slot = format!("#$mayfly{}", self.classes);
        let modifiers = field
            .decorators
            .last()
            .map_or(start(field.span), |last| end(last.span));
        let word = self.slice(modifiers, start(key)).rfind("accessor");
        let word = modifiers + word.unwrap_or_default();
        self.replace(word, end(key) - word, slot.clone());
        let mut behind = format!(
            ";{is_static}get {name}(){{return this.{slot};}}{is_static}set {name}(v){{this.{slot}=v;}}"
        );
        if let Some(record) = record.filter(|_| !field.decorators.is_empty()) {
            if is_private {
                let message = "a private accessor cannot be decorated here: make it public";
                return self.refuse(start(field.span), message);
            }
            let index = rows.len();
            self.given(&field.decorators, record, index);
            let name = self.key(&field.key, false, record, index);
            rows.push(Row {
                kind: "accessor",
                is_static: field.r#static,
                name,
                access: None,
            });
            let value = field.value.as_ref().map(GetSpan::span);
            self.initial(field.span, value, record, index, after);
            behind.push_str(&run_after(field.r#static, record, index));
        }
        after.push(ending(end(field.span), behind));
    }
}

fn ending(at: usize, text: String) -> Edit {
    Edit {
        at,
        taken: 0,
        ends: true,
        text,
    }
}

/// What its decorators want to be done once a field has its value.
fn run_after(is_static: bool, record: &str, index: usize) -> String {
    if is_static {
        format!(";static{{{record}.after(this,{index});}}")
    } else {
        format!(";#{record}_{index}={record}.after(this,{index});")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lowered(text: &str) -> Option<String> {
        let source_type = SourceType::ts().with_module(true);
        let lowered = lower(Path::new("a.ts"), text, source_type).unwrap()?;
        let (body, runtime) = lowered.split_at(lowered.find("\nfunction $mayfly").unwrap());
        assert_eq!(&runtime[1..], RUNTIME);
        // It is one text still, with as many lines.
        assert_eq!(body.matches('\n').count(), text.matches('\n').count());
        let allocator = Allocator::default();
        let parsed = Parser::new(&allocator, &lowered, source_type).parse();
        assert!(
            parsed.diagnostics.is_empty(),
            "{lowered}\n{:?}",
            parsed.diagnostics
        );
        Some(body.to_owned())
    }

    #[test]
    fn what_has_none_stays_as_it_is() {
        for text in [
            "class A { b() {} }",
            "/**\n * @param a\n */\nf();",
            "const a = 'b@c'; accessor();",
        ] {
            assert_eq!(lowered(text), None, "{text}");
        }
    }

    #[test]
    fn a_method() {
        assert_eq!(
            lowered("export class A {\n  @b({\n c: 1 })\n  public async d() {}\n}").unwrap(),
            "const $mayfly1=$mayflyDecorators();export class A {static{$mayfly1.begin(this,[[\"method\",false,\"d\"]]);}\
             #$mayfly1=$mayfly1.instance(this);\n  static{$mayfly1.give(0,(b({\n c: 1 })));}\n  public async d() {}\n\
             static{$mayfly1.end();}}"
        );
    }

    #[test]
    fn every_place_of_a_class_and_kind_of_member_parses() {
        let members = "@a @b.c(1) d = 1; @a e; @a static f = class { @a x; }\n @a #g: number = 2; @a accessor h = 3
            accessor i; static accessor j = 1; @a get k() { return 1; } @a static set l(v) {} @a [m()] = 1; @a [n]() {}
            @a 'o p' = 2; @a 3() {} @(q.r) static async *s() {} @a t!: string; accessor #u = 1; @a @b v";
        for class in [
            "class A",
            "@a class A",
            "@a abstract class A",
            "export class A",
            "@a export class A",
            "export @a class A",
            "export default class A",
            "@a export default class A",
            "export default @a class A",
            "export default class",
            "@a export default class",
            "export default @a\nclass",
            "@a\n@b()\nexport\nclass A<T> extends (class {}) implements B",
        ] {
            let text = format!("f();\n{class} {{ {members} }}\ng();");
            assert!(lowered(&text).is_some());
        }
        for before in [
            "const x = class",
            "const x = @a class A",
            "f(@a\n@b class extends B",
            "export default (@a class",
        ] {
            let after = if before.contains('(') { ")" } else { "" };
            assert!(lowered(&format!("{before} {{ {members} }}{after};")).is_some());
        }
        assert!(
            lowered("for (const a of b) { @c class D { @e f() { @g class H { @i j; } } } }")
                .is_some()
        );
    }

    #[test]
    fn what_cannot_be_is_told_with_its_place() {
        for (text, column) in [
            ("class A { @b #c() {} }", 11),
            ("class A { @b accessor #c; }", 11),
            ("class A { accessor [b] = 1 }", 11),
        ] {
            let errors = lower(Path::new("a.ts"), text, SourceType::ts()).unwrap_err();
            let place = errors[0].position.as_ref().unwrap();
            assert_eq!((place.line, place.column), (1, column), "{text}");
        }
    }
}
