// A town of dynamic Workers: `/neighbour?id=N` asks a well-behaved one, `/attack?kind=K` loads a
// hostile one and answers with the error its caller got, `/pid`-like questions come from outside.

const DATE = "2026-08-01";

const ATTACKS = {
  "endless-loop": "for (;;);",
  "stack-overflow": "const f = (n) => f(n + 1) + 1; f(0);",
  "native-stack-overflow": "let x = []; for (let i = 0; i < 1e6; i++) x = [x]; JSON.stringify(x);",
  "allocation-bomb": "const keep = []; for (;;) keep.push(new Array(1e5).fill(keep.length));",
  "buffer-bomb": "const keep = []; for (;;) keep.push(new Uint8Array(8 << 20).fill(1));",
  "string-bomb": "let s = 'x'; const keep = []; for (;;) { s = s + s; if (s.length > 1e8) { keep.push(s.split('')); } }",
  "promise-loop": "const spin = () => Promise.resolve().then(spin); await spin();",
  sleep: "await new Promise(() => setTimeout(() => {}, 1e9));",
};

function attacker(kind) {
  return {
    compatibilityDate: DATE,
    mainModule: "attack.js",
    modules: { "attack.js": `export default { async fetch() { ${ATTACKS[kind]} return new Response("unharmed"); } };` },
    limits: { cpuMs: 200 },
  };
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/neighbour": {
        const id = url.searchParams.get("id");
        const child = env.LOADER.get(`neighbour-${id}`, () => ({
          compatibilityDate: DATE,
          mainModule: "main.js",
          modules: {
            "main.js": `let n = 0; export default { fetch() { return new Response("${id}:" + ++n); } };`,
          },
        }));
        return child.getEntrypoint().fetch(request);
      }
      case "/attack": {
        const child = env.LOADER.load(attacker(url.searchParams.get("kind")));
        try {
          const response = await child.getEntrypoint().fetch(request);
          return new Response(`answered: ${await response.text()}`);
        } catch (error) {
          // Not always an Error: a Worker may throw anything.
          return new Response(`${error}`);
        }
      }
      default:
        return new Response("town hall");
    }
  },
};
