// Loads code that is large enough to be kept compiled. `/same` is the same code each time and tells
// what only its source can: stacks, `import.meta`, text of functions. `/other?n=N` is code of the same
// names and length that answers N; `/wrong` does not compile.

const DATE = "2026-08-01";

const rest = Array.from({ length: 40 }, (_, i) =>
  `export function unused${i}(a, b) { const list = [a, b, ${i}]; return list.map((x) => x * 2).join("-"); }\n`).join("");

const MAIN = `import { where } from "./lib/where.js";
const told = () => { throw new TypeError("böse"); };
export default {
  async fetch() {
    let stack = "";
    try {
      told();
    } catch (error) {
      stack = error.stack;
    }
    const { deep } = await import("./lib/deep.js");
    return Response.json([stack, where(), deep(), import.meta.url, String(told), String(unused7)]);
  },
};
${rest}
//# sourceMappingURL=main.js.map
`;

const WHERE = `export const where = () => new Error("here").stack + import.meta.url;\n${rest}`;
const DEEP = `export const deep = () => new Error("deep").stack;\n${rest}`;

const load = (env, modules) =>
  env.LOADER.load({ compatibilityDate: DATE, mainModule: "main.js", modules }).getEntrypoint();

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/same":
        return load(env, { "main.js": MAIN, "lib/where.js": WHERE, "lib/deep.js": DEEP }).fetch(request);
      case "/other": {
        const n = Number(url.searchParams.get("n"));
        const source = `export default { fetch() { return new Response("${n % 10}"); } };\n${rest}`;
        return load(env, { "main.js": source }).fetch(request);
      }
      case "/wrong":
        try {
          return await load(env, { "main.js": `${rest}\nexport default {{` }).fetch(request);
        } catch (error) {
          return new Response(`${error}`);
        }
      default:
        return new Response("nothing here", { status: 404 });
    }
  },
};
