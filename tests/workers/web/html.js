// HTMLRewriter: what handlers see, what they may change, and how it streams.

import { equal, fails, same, sleep } from "../kit/suite.js";

const page = (body, type = "text/html") => new Response(body, { headers: { "content-type": type } });

const rewrite = (body, ...handlers) => {
  const rewriter = new HTMLRewriter();
  for (const [selector, handler] of handlers) {
    if (selector === null) rewriter.onDocument(handler);
    else rewriter.on(selector, handler);
  }
  return rewriter.transform(page(body)).text();
};

const element = (work) => ({ element: work });

export const html = {
  async html_content_goes_where_it_is_asked_to() {
    const out = await rewrite("<p>x</p>", ["p", element((p) => {
      p.before("1").before("<2>").after("3").after("4").prepend("5").prepend("6").append("7").append("<8>", { html: true });
    })]);
    equal(out, "1&lt;2&gt;<p>65x7<8></p>43");
  },

  async html_elements_go_with_or_without_their_content() {
    equal(await rewrite("<a><b>x<i>y</i></b>z</a>", ["b", element((b) => b.remove())]), "<a>z</a>");
    equal(await rewrite("<a><b>x</b></a>", ["b", element((b) => b.removeAndKeepContent())]), "<a>x</a>");
    equal(await rewrite("<b>x<i>y</i></b>", ["b", element((b) => b.setInnerContent("n"))]), "<b>n</b>");
    equal(await rewrite("<b>x</b>!", ["b", element((b) => b.replace("<n>", { html: true }).after("z"))]), "<n>z!");
    equal(await rewrite("<p><b>x</p>y", ["b", element((b) => b.remove())], ["p", element((p) => p.append("e"))]), "<p>e</p>y");
    equal(await rewrite("<br>x", ["br", element((b) => b.after("1").append("no"))]), "<br>1x");
  },

  async html_attributes_keep_their_form_until_they_are_set() {
    const out = await rewrite(`<A HREF='u' b=1 c d="2">x</A>`, ["a", element((a) => {
      same([...a.attributes], [["href", "u"], ["b", "1"], ["c", ""], ["d", "2"]]);
      equal(a.getAttribute("HREF"), "u");
      equal(a.getAttribute("none"), null);
      equal(a.hasAttribute("c"), true);
      a.setAttribute("B", `say "hi"`).removeAttribute("d").setAttribute("e", "");
      equal(a.tagName, "a");
    })]);
    equal(out, `<A HREF='u' b="say &quot;hi&quot;" c e="">x</A>`);
  },

  async html_a_new_name_is_also_the_end_tags() {
    equal(await rewrite("<p a>x</p>", ["p", element((p) => void (p.tagName = "div"))]), "<div a>x</div>");
    await fails(() => rewrite("<p>", ["p", element((p) => void (p.tagName = "1"))]), { name: "TypeError", message: /^Parser error: / });
  },

  async html_end_tags_have_handlers() {
    const seen = [];
    const out = await rewrite("<div><p>x</div>", ["*", element((e) => {
      const { tagName } = e;
      e.onEndTag(async (end) => {
        await sleep(1);
        seen.push(`${tagName} ${end.name}`);
        end.before(`(${tagName})`);
      });
    })]);
    same(seen, ["p div", "div div"]);
    equal(out, "<div><p>x(p)(div)</div>");
    await fails(() => rewrite("<br>", ["br", element((b) => b.onEndTag(() => {}))]), { message: /No end tag/ });
  },

  async html_text_comments_doctype_and_the_end() {
    const seen = [];
    const out = await rewrite("<!DOCTYPE html PUBLIC 'a' 'b'><p>one<!--two-->three</p>",
      ["p", {
        text(text) {
          seen.push([text.text, text.lastInTextNode]);
          if (text.text === "one") text.replace("<1>");
        },
        comments(comment) {
          equal(comment.text, "two");
          comment.text = "2";
          comment.after("!");
        },
      }],
      [null, {
        doctype: (doctype) => same([doctype.name, doctype.publicId, doctype.systemId], ["html", "a", "b"]),
        end: (end) => void end.append("<end>", { html: true }),
      }],
    );
    same(seen, [["one", false], ["", true], ["three", false], ["", true]]);
    equal(out, "<!DOCTYPE html PUBLIC 'a' 'b'><p>&lt;1&gt;<!--2-->!three</p><end>");
  },

  async html_handlers_run_one_at_a_time_in_order() {
    const seen = [];
    const slow = (name) => element(async (e) => {
      seen.push(`${name}+${e.tagName}`);
      await sleep(2);
      e.setAttribute(name, String(e.getAttribute("a")));
      seen.push(`${name}-${e.tagName}`);
    });
    equal(await rewrite("<p></p><b></b>", ["*", slow("a")], ["p", slow("b")]), `<p a="null" b="null"></p><b a="null"></b>`);
    same(seen, ["a+p", "a-p", "b+p", "b-p", "a+b", "a-b"]);
  },

  async html_a_token_is_dead_after_its_handler() {
    let kept;
    await rewrite("<p>", ["p", element((p) => void (kept = p))]);
    await fails(() => kept.tagName, { name: "TypeError", message: /no longer valid/ });
    await fails(() => kept.remove(), { message: /no longer valid/ });
  },

  async html_what_a_handler_throws_is_what_the_body_fails_with() {
    const error = new RangeError("mine");
    equal(await fails(() => rewrite("a<p>b", ["p", element(() => { throw error; })])), error);
    equal(await fails(() => rewrite("a<p>b", ["p", element(async () => { throw error; })])), error);
  },

  async html_streams_may_be_inserted() {
    const stream = () => new Response("<s>é").body;
    equal(await rewrite("<p>x</p>", ["p", element((p) => p.prepend(stream()).append(stream(), { html: true }))]), "<p>&lt;s&gt;éx<s>é</p>");
    equal(await rewrite("<p>x</p>", ["p", element((p) => p.replace(new Response("r")))]), "r");
    await fails(() => rewrite("<!--x-->", [null, { comments: (c) => c.before(stream()) }]), { message: /must provide a string/ });
    await fails(() => rewrite("<p>", ["p", element((p) => p.before(new Response(new Uint8Array([0xff]))))]), { message: /Invalid UTF-8/ });
  },

  async html_it_passes_on_what_it_has() {
    const { readable, writable } = new TransformStream();
    const reader = new HTMLRewriter().on("p", element((p) => p.append("!"))).transform(page(readable)).body.getReader();
    const writer = writable.getWriter();
    const decoder = new TextDecoder();
    void writer.write(new TextEncoder().encode("<p>one"));
    equal(decoder.decode((await reader.read()).value), "<p>one");
    void writer.write(new TextEncoder().encode("</p>"));
    equal(decoder.decode((await reader.read()).value), "!</p>");
    void writer.close();
    equal((await reader.read()).done, true);
  },

  async html_a_large_document_in_small_memory() {
    const row = "<tr><td class=a>one</td><td>two &amp; three</td></tr>";
    let left = 40_000;
    const body = new ReadableStream({
      type: "bytes",
      pull(controller) {
        if (left === 0) return controller.close();
        left -= 400;
        controller.enqueue(new TextEncoder().encode(row.repeat(400)));
      },
    });
    let cells = 0;
    const response = new HTMLRewriter().on("td.a", element((td) => { cells += 1; td.setAttribute("n", "1"); })).transform(page(body));
    let bytes = 0;
    for await (const chunk of response.body) bytes += chunk.length;
    equal(cells, 40_000);
    equal(bytes, 40_000 * (row.length + ` n="1"`.length));
  },

  async html_other_encodings() {
    const bytes = Uint8Array.of(...[..."<p t="].map((c) => c.charCodeAt(0)), 0xe9, 0x3e, 0xe9, 0x3c, 0x2f, 0x70, 0x3e);
    let seen;
    const response = new HTMLRewriter()
      .on("p", element((p) => {
        seen = p.getAttribute("t");
        p.append("ü☃");
      }))
      .transform(page(bytes, "text/html; charset=windows-1252"));
    const out = await response.bytes();
    equal(seen, "é");
    equal(new TextDecoder("windows-1252").decode(out), "<p t=é>éü&#9731;</p>");
    equal(response.headers.get("content-type"), "text/html; charset=windows-1252");
    await fails(() => new HTMLRewriter().transform(page("x", "text/html; charset=none")), { message: /Unknown character encoding/ });
  },

  async html_mistakes_say_what_is_wrong() {
    const rewriter = new HTMLRewriter();
    await fails(() => rewriter.on("p:hover", {}), { name: "TypeError", message: /^Parser error: / });
    await fails(() => rewriter.on("p"), { name: "TypeError" });
    await fails(() => rewriter.on("p", { element: 1 }), { name: "TypeError", message: /'element' field/ });
    await fails(() => rewriter.transform("x"), { name: "TypeError", message: /not of type 'Response'/ });
    await fails(() => rewriter.transform(Response.error()), { message: /error response/ });
    const empty = new Response(null);
    equal(rewriter.transform(empty), empty);
    await fails(() => rewrite("<p>", ["p", element((p) => p.setAttribute("a b", ""))]), { message: /forbidden in the attribute name/ });
    await fails(() => rewrite("<!--x-->", [null, { comments: (c) => void (c.text = "-->") }]), { message: /comment-closing/ });
  },

  async html_a_cancelled_body_ends_its_input() {
    let reason;
    const body = new ReadableStream({ pull: (c) => c.enqueue(new TextEncoder().encode("<p>x</p>")), cancel: (why) => void (reason = why) });
    const reader = new HTMLRewriter().transform(page(body)).body.getReader();
    await reader.read();
    await reader.cancel("enough");
    for (let i = 0; i < 50 && reason === undefined; i++) await sleep(1);
    equal(reason, "enough");
  },
};
