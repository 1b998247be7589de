// A town of 50 well-behaved Workers and one hostile one at a time: `GET /neighbour?id=N` asks one of
// the town, `GET /attack?name=...` runs an attack of `attacks.js` and answers with what its caller
// got, `GET /attacks` lists them with what is expected.

import { attacks } from "./attacks.js";

const DATE = "2026-08-01";

const NEIGHBOUR = "let n = 0; export default { fetch() { return new Response(String(++n)); } };";

function attacker({ body, top, limits, modules }) {
  return {
    compatibilityDate: DATE,
    compatibilityFlags: ["nodejs_compat"],
    mainModule: "attack.js",
    modules: {
      "attack.js": `${top ?? ""}\nexport default { async fetch(request, env, ctx) { ${body ?? ""}\n return new Response("unharmed"); } };`,
      ...modules,
    },
    env: {},
    globalOutbound: null,
    limits: { cpuMs: 60, subRequests: 20, ...limits },
  };
}

// Nobody should take all that a hostile Worker has to say.
const ANSWER_CHARS_MAX = 1 << 20;

async function textOf(response) {
  let text = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    text += piece;
    if (text.length > ANSWER_CHARS_MAX) throw new Error("the answer was aborted: it is too long");
  }
  return text;
}

async function run(attack, env) {
  const began = performance.now();
  const result = { text: "", budget: undefined };
  try {
    const code = attacker(attack);
    if (attack.loader) code.env = { LOADER: env.LOADER };
    const response = await env.LOADER.load(code).getEntrypoint().fetch("http://victim/");
    result.text = `answered: ${response.body === null ? "" : await textOf(response)}`;
  } catch (error) {
    // Not always an Error: a Worker may throw anything.
    result.text = typeof error === "object" ? `${error?.name}: ${error?.message}` : String(error);
    result.budget = error?.budget;
  }
  result.ms = performance.now() - began;
  return result;
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/neighbour": {
        const child = env.LOADER.get(`neighbour-${url.searchParams.get("id")}`, () => ({
          compatibilityDate: DATE,
          mainModule: "main.js",
          modules: { "main.js": NEIGHBOUR },
        }));
        return child.getEntrypoint().fetch(request);
      }
      case "/attacks":
        return Response.json(Object.entries(attacks).map(([name, { expect }]) => [name, expect.source]));
      case "/attack":
        return Response.json(await run(attacks[url.searchParams.get("name")], env));
      default:
        return new Response("town hall");
    }
  },
};
