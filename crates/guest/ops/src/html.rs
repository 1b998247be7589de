//! The parser of HTMLRewriter, on `lol_html`.
//!
//! A handler in JavaScript may be asynchronous, and `lol_html` cannot stop within a token. It need
//! not: what handlers do to a token changes what is written, never how the rest is parsed. So one
//! push parses a piece of the document to its end and records what was met: the bytes as they are,
//! and the places in them of the tokens that handlers asked for. The platform then walks the record,
//! awaits its handlers and writes; element removal, end tags and replacements are its business
//! (`platform/web/html/rewrite.ts`), as are the checks of what handlers insert.
//!
//! Invariants: recorded places lie within the bytes of the same push and are in order; a rewriter
//! that failed or ended refuses further pushes.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use encoding_rs::Encoding;
use lol_html::html_content::{Comment, Doctype, DocumentEnd, Element, EndTag, TextChunk, UserData};
use lol_html::{
    AsciiCompatibleEncoding, DocumentContentHandlers, ElementContentHandlers, HandlerResult,
    HtmlRewriter, MemorySettings, OutputSink, Selector, Settings,
};
use mayfly_engine::data::{Args, Data, OpDecl, OpError, OpResult};

use crate::{HasOps, op};

/// Memory that the parser of one document may use, for its stack of open elements and for a token
/// that is split between pieces: as much as workerd gives it.
const PARSER_BYTES_MAX: usize = 3 * 1024 * 1024;

/// What the parser buffers from the start; `lol_html`'s own default.
const PARSER_BYTES_FIRST: usize = 1024;

/// Kinds of tokens, as the platform knows them.
const ELEMENT: f64 = 0.0;
const END_TAG: f64 = 1.0;
const COMMENT: f64 = 2.0;
const TEXT: f64 = 3.0;
const DOCTYPE: f64 = 4.0;
const DOCUMENT_END: f64 = 5.0;

/// Which tokens a registration asks for: bits of a number.
const WANTS_ELEMENT: u32 = 1;
const WANTS_COMMENTS: u32 = 2;
const WANTS_TEXT: u32 = 4;
const WANTS_DOCTYPE: u32 = 8;
const WANTS_END: u32 = 16;

pub fn declarations<S: HasOps>() -> Vec<OpDecl<S>> {
    vec![
        op("htmlSelector", html_selector::<S>),
        op("htmlNew", html_new::<S>),
        op("htmlPush", html_push::<S>),
        op("htmlFree", html_free::<S>),
        op("htmlEncode", html_encode::<S>),
    ]
}

fn html_selector<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    parse_selector(&args.string(0)?)?;
    Ok(Data::Undefined)
}

fn html_new<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let (encoding, registrations) = (args.string(0)?, args.list(1)?);
    let rewriter = Rewriter::new(&encoding, registrations, args.bool(2)?)?;
    state.ops().rewriters.insert(rewriter)
}

fn html_push<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let (handle, bytes, last) = (args.u32(0)?, args.bytes(1)?, args.bool(2)?);
    state.ops().rewriters.get(handle)?.push(&bytes, last)
}

fn html_free<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    state.ops().rewriters.remove(args.u32(0)?);
    Ok(Data::Undefined)
}

/// Text in the document's encoding; undefined where `exact` and a character is not in it.
fn html_encode<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let (handle, text, exact) = (args.u32(0)?, args.string(1)?, args.bool(2)?);
    let encoding = state.ops().rewriters.get(handle)?.encoding;
    let (bytes, _, unmappable) = encoding.encode(&text);
    Ok(if exact && unmappable {
        Data::Undefined
    } else {
        Data::Bytes(bytes.into_owned())
    })
}

fn parser_error(message: impl std::fmt::Display) -> OpError {
    OpError::type_error(format!("Parser error: {message}"))
}

fn parse_selector(text: &str) -> Result<Selector, OpError> {
    text.parse().map_err(parser_error)
}

/// One document under way.
pub struct Rewriter {
    /// `None` once it has ended or failed.
    parser: Option<HtmlRewriter<'static, Sink>>,
    record: Shared,
    encoding: &'static Encoding,
}

impl std::fmt::Debug for Rewriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rewriter")
            .field("encoding", &self.encoding.name())
            .finish_non_exhaustive()
    }
}

type Shared = Rc<RefCell<Record>>;

/// What one push has met so far.
#[derive(Default)]
struct Record {
    output: Vec<u8>,
    events: Vec<Event>,
    /// The next thing the parser writes is the last event's token.
    token_next: bool,
    /// The number of the next element, over all pushes.
    next_element: u32,
}

/// A token that at least one handler waits for.
struct Event {
    kind: f64,
    start: usize,
    end: usize,
    /// Registrations whose handlers to call; for an end tag, elements that it ends.
    for_whom: Vec<u32>,
    details: Vec<Data>,
}

struct Sink(Shared);

impl OutputSink for Sink {
    fn handle_chunk(&mut self, chunk: &[u8]) {
        let record = &mut *self.0.borrow_mut();
        let start = record.output.len();
        record.output.extend_from_slice(chunk);
        if std::mem::take(&mut record.token_next)
            && let Some(event) = record.events.last_mut()
        {
            (event.start, event.end) = (start, start + chunk.len());
        }
    }
}

impl Record {
    /// Notes that registration or element `who` waits for the token at hand, which is the last event
    /// if `known` (an earlier handler of the same token made it).
    fn note(&mut self, known: bool, kind: f64, who: u32, details: impl FnOnce() -> Vec<Data>) {
        if !known {
            let at = self.output.len();
            self.events.push(Event {
                kind,
                start: at,
                end: at,
                for_whom: Vec::new(),
                details: details(),
            });
        }
        if let Some(event) = self.events.last_mut() {
            event.for_whom.push(who);
        }
    }
}

/// Says of a token that it is the last event.
struct Noted;

fn is_noted(token: &impl UserData) -> bool {
    token.user_data().is::<Noted>()
}

impl Rewriter {
    fn new(label: &str, registrations: Vec<Data>, esi: bool) -> Result<Self, OpError> {
        let encoding = Encoding::for_label_no_replacement(label.as_bytes())
            .ok_or_else(|| parser_error("Unknown character encoding has been provided."))?;
        let compatible = AsciiCompatibleEncoding::new(encoding)
            .ok_or_else(|| parser_error("Expected ASCII-compatible encoding."))?;
        let memory = MemorySettings::new()
            .with_preallocated_parsing_buffer_size(PARSER_BYTES_FIRST)
            .with_max_allowed_memory_usage(PARSER_BYTES_MAX);
        let mut settings = Settings::new()
            .with_encoding(compatible)
            .with_memory_settings(memory)
            .with_strict(true)
            .with_enable_esi_tags(esi);
        let record = Shared::default();
        let mut items = registrations.into_iter();
        let mut number = 0;
        while let (Some(selector), Some(wants)) = (items.next(), items.next()) {
            let wants = Args::new(vec![wants]).u32(0)?;
            settings = match selector {
                Data::String(text) => settings.append_element_content_handler((
                    Cow::Owned(parse_selector(&text)?),
                    element_handlers(&record, number, wants, encoding),
                )),
                _ => settings.append_document_content_handler(document_handlers(
                    &record, number, wants, encoding,
                )),
            };
            number += 1;
        }
        Ok(Self {
            parser: Some(HtmlRewriter::new(settings, Sink(record.clone()))),
            record,
            encoding,
        })
    }

    /// Parses a piece: `[bytes, tokens, error]`. What was met before an error counts.
    fn push(&mut self, bytes: &[u8], last: bool) -> OpResult {
        let Some(mut parser) = self.parser.take() else {
            return Err(parser_error("The document has ended."));
        };
        let result = match parser.write(bytes) {
            Err(error) => Err(error),
            Ok(()) if last => parser.end(),
            Ok(()) => {
                self.parser = Some(parser);
                Ok(())
            }
        };
        let record = &mut *self.record.borrow_mut();
        record.token_next = false;
        let output = std::mem::take(&mut record.output);
        let events = std::mem::take(&mut record.events)
            .into_iter()
            .map(Event::into_data)
            .collect();
        let error = match result {
            Ok(()) => Data::Undefined,
            Err(error) => Data::String(format!("Parser error: {error}")),
        };
        Ok(Data::List(vec![
            Data::Bytes(output),
            Data::List(events),
            error,
        ]))
    }
}

impl Event {
    fn into_data(self) -> Data {
        let for_whom = self.for_whom.into_iter().map(number).collect();
        let mut items = vec![
            Data::Number(self.kind),
            place(self.start),
            place(self.end),
            Data::List(for_whom),
        ];
        items.extend(self.details);
        Data::List(items)
    }
}

fn number(value: u32) -> Data {
    Data::Number(f64::from(value))
}

/// A place in the bytes of one push, which are far fewer than a double counts exactly.
fn place(value: usize) -> Data {
    Data::Number(value as f64)
}

fn optional(text: Option<String>) -> Data {
    text.map_or(Data::Null, Data::String)
}

fn element_handlers(
    record: &Shared,
    number: u32,
    wants: u32,
    encoding: &'static Encoding,
) -> ElementContentHandlers<'static> {
    let mut handlers = ElementContentHandlers::default();
    if wants & WANTS_ELEMENT != 0 {
        let record = record.clone();
        handlers = handlers.element(move |element: &mut Element<'_, '_>| {
            note_element(&record, number, element);
            Ok(())
        });
    }
    if wants & WANTS_COMMENTS != 0 {
        handlers = handlers.comments(comments_into(record, number));
    }
    if wants & WANTS_TEXT != 0 {
        handlers = handlers.text(text_into(record, number, encoding));
    }
    handlers
}

fn comments_into(
    record: &Shared,
    number: u32,
) -> impl FnMut(&mut Comment<'_>) -> HandlerResult + 'static {
    let record = record.clone();
    move |comment| {
        note_comment(&record, number, comment);
        Ok(())
    }
}

fn text_into(
    record: &Shared,
    number: u32,
    encoding: &'static Encoding,
) -> impl FnMut(&mut TextChunk<'_>) -> HandlerResult + 'static {
    let record = record.clone();
    move |text| {
        note_text(&record, encoding, number, text);
        Ok(())
    }
}

fn document_handlers(
    record: &Shared,
    number: u32,
    wants: u32,
    encoding: &'static Encoding,
) -> DocumentContentHandlers<'static> {
    let mut handlers = DocumentContentHandlers::default();
    if wants & WANTS_DOCTYPE != 0 {
        let record = record.clone();
        handlers = handlers.doctype(move |doctype: &mut Doctype<'_>| {
            note_doctype(&record, number, doctype);
            Ok(())
        });
    }
    if wants & WANTS_COMMENTS != 0 {
        handlers = handlers.comments(comments_into(record, number));
    }
    if wants & WANTS_TEXT != 0 {
        handlers = handlers.text(text_into(record, number, encoding));
    }
    if wants & WANTS_END != 0 {
        let record = record.clone();
        handlers = handlers.end(move |_: &mut DocumentEnd<'_>| {
            let mut record = record.borrow_mut();
            let known = record
                .events
                .last()
                .is_some_and(|last| last.kind == DOCUMENT_END);
            record.note(known, DOCUMENT_END, number, Vec::new);
            Ok(())
        });
    }
    handlers
}

fn note_element(shared: &Shared, registration: u32, element: &mut Element<'_, '_>) {
    let known = is_noted(element);
    let record = &mut *shared.borrow_mut();
    if known {
        return record.note(true, ELEMENT, registration, Vec::new);
    }
    let id = record.next_element;
    record.next_element = id.wrapping_add(1);
    record.note(false, ELEMENT, registration, || {
        vec![
            number(id),
            Data::String(element.tag_name()),
            Data::String(element.namespace_uri().to_owned()),
            Data::Bool(element.can_have_content()),
            Data::Bool(element.is_self_closing()),
            Data::List(attributes_of(element)),
        ]
    });
    record.token_next = true;
    element.set_user_data(Noted);
    if let Some(handlers) = element.end_tag_handlers() {
        let shared = shared.clone();
        handlers.push(Box::new(move |end_tag: &mut EndTag<'_>| {
            note_end_tag(&shared, id, end_tag);
            Ok(())
        }));
    }
}

/// Flat: name, value, and the place of the whole within its tag, for each.
fn attributes_of(element: &Element<'_, '_>) -> Vec<Data> {
    let tag = element.source_location().bytes().start;
    let mut items = Vec::with_capacity(element.attributes().len() * 4);
    for attribute in element.attributes() {
        let name = attribute.name_source_location().map(|place| place.bytes());
        let value = attribute.value_source_location().map(|place| place.bytes());
        let start = name.as_ref().map_or(tag, |name| name.start);
        let name_end = name.map_or(start, |name| name.end);
        let end = value.map_or(name_end, |value| value.end);
        items.extend([
            Data::String(attribute.name()),
            Data::String(attribute.value()),
            place(start.saturating_sub(tag)),
            place(end.saturating_sub(tag)),
        ]);
    }
    items
}

/// One end tag may end several elements, the innermost first: all of them stand in one event.
fn note_end_tag(shared: &Shared, element: u32, end_tag: &EndTag<'_>) {
    let record = &mut *shared.borrow_mut();
    let known = record.token_next;
    record.note(known, END_TAG, element, || {
        vec![Data::String(end_tag.name())]
    });
    record.token_next = true;
}

fn note_comment(shared: &Shared, registration: u32, comment: &mut Comment<'_>) {
    let known = is_noted(comment);
    let record = &mut *shared.borrow_mut();
    record.note(known, COMMENT, registration, || {
        vec![Data::String(comment.text())]
    });
    record.token_next = true;
    comment.set_user_data(Noted);
}

/// The parser writes text in pieces, and none where it is empty, so the record writes it itself.
fn note_text(
    shared: &Shared,
    encoding: &'static Encoding,
    registration: u32,
    text: &mut TextChunk<'_>,
) {
    let known = is_noted(text);
    let record = &mut *shared.borrow_mut();
    record.note(known, TEXT, registration, || {
        vec![
            Data::String(text.as_str().to_owned()),
            Data::Bool(text.last_in_text_node()),
        ]
    });
    if known {
        return;
    }
    record
        .output
        .extend_from_slice(&encoding.encode(text.as_str()).0);
    if let Some(event) = record.events.last_mut() {
        event.end = record.output.len();
    }
    text.remove();
    text.set_user_data(Noted);
}

fn note_doctype(shared: &Shared, registration: u32, doctype: &mut Doctype<'_>) {
    let known = is_noted(doctype);
    let record = &mut *shared.borrow_mut();
    record.note(known, DOCTYPE, registration, || {
        vec![
            optional(doctype.name()),
            optional(doctype.public_id()),
            optional(doctype.system_id()),
        ]
    });
    record.token_next = true;
    doctype.set_user_data(Noted);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpsState;
    use crate::testing::{bytes, call, text};

    fn rewriter(registrations: Vec<Data>) -> (OpsState, Data) {
        let mut state = OpsState::new();
        let args = vec![text("utf-8"), Data::List(registrations), Data::Bool(false)];
        let handle = call(&mut state, "htmlNew", args).unwrap();
        (state, handle)
    }

    fn push(
        state: &mut OpsState,
        handle: &Data,
        input: &str,
        last: bool,
    ) -> (String, Vec<Data>, Data) {
        let args = vec![handle.clone(), bytes(input), Data::Bool(last)];
        let Data::List(parts) = call(state, "htmlPush", args).unwrap() else {
            panic!("a push gives a list");
        };
        let [Data::Bytes(output), Data::List(events), error] = &parts[..] else {
            panic!("a push gives bytes, tokens and an error: {parts:?}");
        };
        let output = String::from_utf8(output.clone()).unwrap();
        (output, events.clone(), error.clone())
    }

    fn shown(output: &str, events: &[Data]) -> Vec<String> {
        events
            .iter()
            .map(|event| {
                let Data::List(items) = event else {
                    panic!("{event:?}")
                };
                let [
                    Data::Number(kind),
                    Data::Number(start),
                    Data::Number(end),
                    Data::List(whom),
                    ..,
                ] = &items[..]
                else {
                    panic!("{items:?}")
                };
                let whom: Vec<String> = whom.iter().map(|who| format!("{who:?}")).collect();
                let token = &output[*start as usize..*end as usize];
                format!("{kind} {token} {}", whom.len())
            })
            .collect()
    }

    #[test]
    fn tokens_are_where_the_record_says_and_the_bytes_are_unchanged() {
        let (mut state, handle) = rewriter(vec![
            text("p"),
            Data::Number(7.0),
            text("p.a"),
            Data::Number(1.0),
            Data::Undefined,
            Data::Number(24.0),
        ]);
        let input = "<!doctype html><p CLASS=a x>one<!--two--></P>rest";
        let (output, events, error) = push(&mut state, &handle, input, true);
        assert_eq!(error, Data::Undefined);
        assert_eq!(output, input);
        assert_eq!(
            shown(&output, &events),
            [
                "4 <!doctype html> 1",
                "0 <p CLASS=a x> 2",
                "3 one 1",
                "3  1",
                "2 <!--two--> 1",
                "1 </P> 1",
                "5  1"
            ]
        );
    }

    #[test]
    fn one_end_tag_ends_all_that_is_open_inside() {
        let (mut state, handle) = rewriter(vec![text("*"), Data::Number(1.0)]);
        let (output, events, _) = push(&mut state, &handle, "<div><p><b>x</div>", true);
        assert_eq!(
            shown(&output, &events),
            ["0 <div> 1", "0 <p> 1", "0 <b> 1", "1 </div> 3"]
        );
    }

    #[test]
    fn a_token_that_is_split_arrives_whole() {
        let (mut state, handle) = rewriter(vec![text("a"), Data::Number(1.0)]);
        assert_eq!(push(&mut state, &handle, "x<a hr", false).0, "x");
        let (output, events, _) = push(&mut state, &handle, "ef=y>z", true);
        assert_eq!(output, "<a href=y>z");
        assert_eq!(shown(&output, &events), ["0 <a href=y> 1"]);
    }

    #[test]
    fn mistakes_are_type_errors() {
        let mut state = OpsState::new();
        let wrong = call(&mut state, "htmlSelector", vec![text("a:hover")]).unwrap_err();
        assert_eq!(wrong.class, "TypeError");
        assert!(wrong.message.starts_with("Parser error: "), "{wrong:?}");
        for label in ["nonsense", "utf-16"] {
            let args = vec![text(label), Data::List(vec![]), Data::Bool(false)];
            assert_eq!(
                call(&mut state, "htmlNew", args).unwrap_err().class,
                "TypeError"
            );
        }
    }

    #[test]
    fn a_tag_beyond_the_memory_bound_is_an_error_and_the_end() {
        let (mut state, handle) = rewriter(vec![text("a"), Data::Number(1.0)]);
        let piece = "x".repeat(PARSER_BYTES_MAX / 2);
        push(&mut state, &handle, "<a b=\"", false);
        push(&mut state, &handle, &piece, false);
        let (_, _, error) = push(&mut state, &handle, &piece.repeat(2), false);
        assert_eq!(
            error,
            text("Parser error: The memory limit has been exceeded.")
        );
        let args = vec![handle, bytes("x"), Data::Bool(false)];
        assert!(call(&mut state, "htmlPush", args).is_err());
    }
}
