// A Worker that starts other Workers.
//
//   curl http://127.0.0.1:8787/                                runs the code below
//   curl --data-binary @code.js http://127.0.0.1:8787/         runs yours
//
// Each gets a process of its own, with nothing but what `env` gives it and no network.

const GREETER = `
  export default {
    fetch(request, env) {
      return new Response(env.GREETING + " from a Worker that did not exist a moment ago\\n");
    },
  };
`;

export default {
  async fetch(request, env) {
    const code = request.method === "POST" ? await request.text() : GREETER;
    const worker = env.LOADER.load({
      compatibilityDate: "2026-08-01",
      mainModule: "main.js",
      modules: { "main.js": code },
      env: { GREETING: "Hello" },
      globalOutbound: null,
      limits: { cpuMs: 1000 },
    });
    try {
      return await worker.getEntrypoint().fetch(new Request(request.url));
    } catch (error) {
      return new Response(`${error}\n`, { status: 500 });
    }
  },
};
