// What web APIs say of wrong arguments and states: classes and words are those of workerd, since code for
// Workers tests for them.

import { equal, fails, same } from "../kit/suite.js";

const exactly = (name, message) => ({ name, message: new RegExp(`^${RegExp.escape(message)}$`) });

/** Each row: what is tried, the name of the error, its whole message. */
async function table(rows) {
  for (const [work, name, message] of rows) await fails(async () => await work(), exactly(name, message));
}

const form = (type, body) => new Response(body, { headers: { "content-type": type } }).formData();
const multipart = (body) => form("multipart/form-data; boundary=a", body);
const locked = () => {
  const stream = new ReadableStream();
  stream.getReader();
  return stream;
};
const byteReader = () => new ReadableStream({ type: "bytes" }).getReader({ mode: "byob" });
const controllerOf = (type) => {
  let controller;
  new ReadableStream({ type, start: (given) => void (controller = given) });
  return controller;
};
/** What `work` on the request of a reader for four bytes throws. */
const respond = (work) =>
  new Promise((resolve, reject) => {
    const pull = (controller) => {
      try {
        resolve(work(controller.byobRequest));
      } catch (error) {
        reject(error);
      }
    };
    void new ReadableStream({ type: "bytes", pull }).getReader({ mode: "byob" }).read(new Uint8Array(4));
  });
const closedWriter = () => {
  const writer = new WritableStream().getWriter();
  void writer.close();
  return writer;
};

const READ_LOCKED = "This ReadableStream is currently locked to a reader.";
const WRITE_LOCKED = "This WritableStream is currently locked to a writer.";
const WRITE_CLOSED = "This WritableStream has been closed.";
const EMPTY_VIEW = 'You must call read() on a "byob" reader with a positive-sized TypedArray object.';
const HALF_PART = '--a\r\nContent-Disposition: form-data; name="x"\r\n\r\nv\r\n--b--';

export const words = {
  words_of_headers_and_bodies: () =>
    table([
      [() => new Headers("a"), "TypeError", "Failed to construct 'Headers': constructor parameter 1 is not of type 'Headers or Sequence or object'."],
      [() => new Headers().set("a"), "TypeError", "Failed to execute 'set' on 'Headers': parameter 2 is not of type 'string'."],
      [() => new Headers().forEach(1), "TypeError", "Failed to execute 'forEach' on 'Headers': parameter 1 is not of type 'function'."],
      [() => new URL(), "TypeError", "Failed to construct 'URL': constructor parameter 1 is not of type 'USVString'."],
      [() => new Request("http://x/", 1), "TypeError", "Failed to construct 'Request': constructor parameter 2 is not of type 'RequestInitializerDict or Request'."],
      [() => new Response("", { cf: 1 }), "TypeError", "Incorrect type for the 'cf' field on 'InitializerDict': the provided value is not of type 'Object'."],
      [() => new Headers([["a"]]), "TypeError", "To initialize a Headers object from a sequence, each inner sequence must have exactly two elements."],
      [() => new Headers({ "a b": "c" }), "TypeError", "Invalid header name."],
      [() => new Headers({ a: "x\ny" }), "TypeError", "Invalid header value."],
      [() => new Response(locked()), "TypeError", "This ReadableStream is locked to a reader, and cannot be used as a body."],
      [() => new Response(new ReadableStream({ start: (c) => (c.enqueue("text"), c.close()) })).text(), "TypeError", "This ReadableStream did not return bytes."],
      [() => new Request("http://x/", { cf: { cacheControl: "a", cacheTtl: 1 } }), "TypeError", "The 'cacheControl' and 'cacheTtl' options on cf are mutually exclusive. Use 'cacheControl' for explicit Cache-Control header directives, or 'cacheTtl' for a simplified TTL, but not both."],
      [() => new Request("http://x/", { encodeResponseBody: "x" }), "TypeError", "encodeResponseBody: unexpected value: x"],
      [() => fetch("ftp://x/"), "TypeError", "Fetch API cannot load: ftp://x/"],
      [() => new URLSearchParams([["a"]]), "TypeError", "Invalid URL search params sequence."],
    ]),
  words_of_forms: () =>
    table([
      [() => form("multipart/form-data", "x"), "TypeError", "No boundary string in Content-Type header. The multipart/form-data MIME type requires a boundary parameter, e.g. 'Content-Type: multipart/form-data; boundary=\"abcd\"'. See RFC 7578, section 4."],
      [() => multipart("x"), "TypeError", "No initial boundary string (or you have a truncated message)."],
      [() => multipart(HALF_PART), "TypeError", "No subsequent boundary string after multipart message."],
      [() => multipart("--a\r\nX: y\r\n\r\nv\r\n--a--"), "TypeError", "No valid Content-Disposition header found in FormData part."],
      [() => multipart("--a\r\nContent-Disposition: form-data\r\n\r\nv\r\n--a--"), "TypeError", "Content-Disposition header in FormData part is missing a name."],
      [() => multipart("--a\r\nContent-Disposition: other; name=x\r\n\r\nv\r\n--a--"), "TypeError", 'Content-Disposition header for FormData part must have the value "form-data", possibly followed by parameters. Got: "other"'],
      [() => form("application/x-www-form-urlencoded;charset=utf-16", "a=b"), "TypeError", "Non-utf-8 application/x-www-form-urlencoded body."],
      [() => multipart("--a?\r\n"), "TypeError", "Boundary string was not succeeded by CRLF, LF, or '--'."],
      [() => form("text/plain", "a=b"), "TypeError", "Unrecognized Content-Type header value. FormData can only parse the following MIME types: multipart/form-data, application/x-www-form-urlencoded"],
    ]),
  async forms_may_have_lines_without_a_carriage_return() {
    const lines = ["preamble", "--a", 'Content-Disposition: form-data; name="x"', "", "one\ntwo", "--a", 'Content-Disposition: form-data; name="y"', "", "", "--a--", ""];
    for (const newline of ["\n", "\r\n"]) same([...(await multipart(lines.join(newline)))], [["x", "one\ntwo"], ["y", ""]]);
  },
  words_of_streams: () =>
    table([
      [() => new ReadableStream({ type: "text" }), "TypeError", '"text" is not a valid type of ReadableStream.'],
      [() => new ReadableStream().getReader({ mode: "text" }), "TypeError", "mode must be undefined or 'byob' in call to getReader()."],
      [() => respond((request) => request.respond(0)), "TypeError", "The bytesWritten must be more than zero while the stream is open."],
      [() => respond((request) => request.respond(9)), "RangeError", "Too many bytes [9] in response to a BYOB read request."],
      [() => respond((request) => request.respondWithNewView(new Uint8Array(0))), "TypeError", "The view byte length must be more than zero while the stream is open."],
      [() => respond((request) => request.respondWithNewView(new Uint8Array(2))), "RangeError", "The underlying ArrayBuffer is not the correct length."],
      [() => locked().getReader(), "TypeError", READ_LOCKED],
      [() => locked().cancel(), "TypeError", READ_LOCKED],
      [() => new ReadableStream().getReader({ mode: "byob" }), "TypeError", "This ReadableStream does not support BYOB reads."],
      [() => byteReader().read(new Uint8Array(0)), "TypeError", EMPTY_VIEW],
      [() => byteReader().read(new Uint8Array(2), { min: 0 }), "TypeError", "Requested invalid minimum number of bytes to read (0)."],
      [() => byteReader().read(new Uint8Array(2), { min: 5 }), "RangeError", "Minimum bytes to read (5) exceeds size of buffer (2)."],
      [() => byteReader().readAtLeast(5, new Uint8Array(2)), "TypeError", "Minimum bytes to read (5) exceeds size of buffer (2)."],
      [() => new ReadableStream({ type: "bytes", autoAllocateChunkSize: 0 }), "TypeError", "The autoAllocateChunkSize option cannot be zero."],
      [() => (controllerOf("bytes")).enqueue(new Uint8Array(0)), "TypeError", "Cannot enqueue a zero-length ArrayBuffer."],
      [() => { const c = controllerOf(); c.close(); c.enqueue(1); }, "TypeError", "Unable to enqueue"],
      [() => { const c = controllerOf(); c.close(); c.close(); }, "TypeError", "This ReadableStream is closed."],
      [() => { const s = new WritableStream(); s.getWriter(); s.getWriter(); }, "TypeError", WRITE_LOCKED],
      [() => closedWriter().write("x"), "TypeError", WRITE_CLOSED],
      [() => closedWriter().close(), "TypeError", WRITE_CLOSED],
      [() => new FixedLengthStream(-1), "TypeError", "The value cannot be converted because it is negative and this API expects a positive bigint."],
      [() => new FixedLengthStream("x"), "TypeError", "The value cannot be converted because it is not an integer."],
      [() => new CompressionStream("x"), "TypeError", "The compression format must be either 'deflate', 'deflate-raw' or 'gzip'."],
    ]),
  a_method_of_something_else_says_so: () =>
    table([
      [() => Response.prototype.text.call({}), "TypeError", "Illegal invocation: function called with incorrect `this` reference. See https://developers.cloudflare.com/workers/observability/errors/#illegal-invocation-errors for details."],
    ]),
  byte_transforms_are_transform_streams() {
    for (const stream of [new IdentityTransformStream(), new FixedLengthStream(1), new CompressionStream("gzip"), new DecompressionStream("gzip")]) {
      equal(stream instanceof TransformStream, true, stream.constructor.name);
      equal(stream.readable instanceof ReadableStream && stream.writable instanceof WritableStream, true);
    }
  },
  async dispatch_event_throws_what_a_listener_throws() {
    const target = new EventTarget();
    const heard = [];
    target.addEventListener("a", () => heard.push("first"));
    target.addEventListener("a", () => { throw new RangeError("of the listener"); });
    target.addEventListener("a", () => heard.push("never"));
    const event = new Event("a");
    await fails(() => target.dispatchEvent(event), exactly("RangeError", "of the listener"));
    same(heard, ["first"]);
    equal(event.eventPhase, 0);
    // The event and the target are as usable as before.
    const other = new EventTarget();
    other.addEventListener("a", () => true);
    equal(other.dispatchEvent(new Event("a", { cancelable: true })), false, "true prevents the default");
    equal(other.dispatchEvent(event), true);
    other.addEventListener("b", () => other.dispatchEvent(new Event("c")) && other.dispatchEvent(again));
    const again = new Event("b");
    await fails(() => other.dispatchEvent(again), exactly("InvalidStateError", "The event is already being dispatched."));
    const nothing = () => {};
    await table([
      [() => target.addEventListener("a", nothing, true), "TypeError", "addEventListener(): useCapture must be false."],
      [() => target.addEventListener("a", nothing, { capture: true }), "TypeError", "addEventListener(): options.capture must be false."],
      [() => target.addEventListener("a", nothing, { passive: true }), "TypeError", "addEventListener(): options.passive must be false."],
      [() => target.removeEventListener("a", nothing, true), "TypeError", "removeEventListener(): useCapture must be false."],
    ]);
  },
};
