// preact and preact-render-to-string: components, hooks and context on the server, whole and in
// pieces. The two share Preact's `options`, so they must get the same copy of it.

import { Fragment, createContext, h } from "preact";
import { useContext, useId, useMemo, useState } from "preact/hooks";
import { Suspense, lazy } from "preact/compat";
import { render, renderToStringAsync } from "preact-render-to-string";
import { renderToReadableStream } from "preact-render-to-string/stream";
import { equal, matches } from "../../kit/suite.js";

const Theme = createContext("light");

function Item({ name }) {
  const [count] = useState(() => name.length);
  const upper = useMemo(() => name.toUpperCase(), [name]);
  return h("li", { class: useContext(Theme), "data-n": count }, upper, h("input", { disabled: true, value: '"' }));
}

function List({ names }) {
  return h(Fragment, null, h("ul", { style: { color: "red", marginTop: 2 } }, names.map((name) => h(Item, { key: name, name }))), false, 0);
}

function page() {
  const Later = lazy(async () => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return { default: () => h("b", null, "late") };
  });
  return h("main", null, h(Suspense, { fallback: "waiting" }, h(Later)));
}

export const preact = {
  async preact_render_to_string() {
    const tree = h(Theme.Provider, { value: "dark" }, h(List, { names: ["a<", "bc"] }));
    equal(
      render(tree),
      '<ul style="color:red;margin-top:2px;"><li data-n="2" class="dark">A&lt;<input disabled value="&quot;"/></li>' +
        '<li data-n="2" class="dark">BC<input disabled value="&quot;"/></li></ul>0',
    );
    matches(render(h(() => h("i", { id: useId() }))), /^<i id="P[\d-]+"><\/i>$/);
    equal(render(h("div", { dangerouslySetInnerHTML: { __html: "<hr>" } })), "<div><hr></div>");
  },

  async preact_renders_what_comes_late() {
    matches(await renderToStringAsync(page()), /<main>(<!--.*?-->)?<b>late<\/b>(<!--.*?-->)?<\/main>/);
    const stream = renderToReadableStream(page());
    const whole = await new Response(stream).text();
    matches(whole, /waiting.*<b>late<\/b>/s);
  },
};
