// Web APIs by throughput: each path does one piece of work on one megabyte (or as its name says) and
// answers when it is done. Nothing here needs a dynamic Worker.

const MEGABYTE = 1 << 20;

const bytes = new Uint8Array(MEGABYTE);
for (let i = 0; i < bytes.length; i++) bytes[i] = 32 + ((i * 31 + (i >> 7)) % 90);

const text = new TextEncoder().encode("The quick brown fox jümps over the lazy dog. ".repeat(MEGABYTE / 46));

let page;
function html() {
  if (page === undefined) {
    const row = '<tr class="row"><td class="name">one</td><td><a href="/item/17?x=1">two &amp; three</a></td><td>text text text</td></tr>\n';
    page = `<!doctype html><html><body><table>${row.repeat(MEGABYTE / row.length)}</table></body></html>`;
  }
  return page;
}

let form;
function multipart() {
  if (form === undefined) {
    const data = new FormData();
    for (let i = 0; i < 100; i++) data.append(`field${i}`, "a value of some length ".repeat(20));
    data.append("file", new File([bytes.subarray(0, MEGABYTE - 50_000)], "data.bin"));
    form = new Response(data);
    const type = form.headers.get("content-type");
    form = form.arrayBuffer().then((body) => ({ body, type }));
  }
  return form;
}

let aesKey;
function key() {
  return (aesKey ??= crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt"]));
}

async function drain(readable) {
  let count = 0;
  for await (const chunk of readable) count += chunk.byteLength;
  return count;
}

const work = {
  "/web/json": async (request) => Response.json(await request.json()),

  async "/web/transform"() {
    let left = 100;
    const chunk = new Uint8Array(64 * 1024);
    const source = new ReadableStream({
      pull(controller) {
        for (let i = 0; i < 16; i++) controller.enqueue(chunk);
        if (--left === 0) controller.close();
      },
    });
    return drain(source.pipeThrough(new TransformStream({ transform: (part, controller) => controller.enqueue(part) })));
  },

  "/web/sha256": async () => (await crypto.subtle.digest("SHA-256", bytes)).byteLength,

  "/web/aes": async () =>
    (await crypto.subtle.encrypt({ name: "AES-GCM", iv: new Uint8Array(12) }, await key(), bytes)).byteLength,

  "/web/gzip": () => drain(new Response(bytes).body.pipeThrough(new CompressionStream("gzip"))),

  "/web/decode": () => new TextDecoder().decode(text).length,

  "/web/urls"() {
    let length = 0;
    for (let i = 0; i < 1000; i++) {
      const url = new URL(`https://user@example.com:8080/path/${i}/to?name=value&n=${i}#hash`);
      length += url.pathname.length + url.searchParams.get("name").length;
    }
    return length;
  },

  async "/web/html"() {
    const response = new HTMLRewriter()
      .on("a[href]", { element: (a) => void a.setAttribute("href", a.getAttribute("href") + "&y=2") })
      .on("td.name", { element: (td) => void td.append("!") })
      .transform(new Response(html(), { headers: { "content-type": "text/html" } }));
    return drain(response.body);
  },

  async "/web/multipart"() {
    const { body, type } = await multipart();
    const data = await new Response(body, { headers: { "content-type": type } }).formData();
    return data.get("file").size;
  },
};

export async function web(request, path) {
  const run = work[path];
  if (run === undefined) return new Response("unknown path", { status: 404 });
  const result = await run(request);
  return result instanceof Response ? result : new Response(String(result));
}
