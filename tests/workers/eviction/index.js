// Dynamic Workers that tell whether they were loaded anew: `/ID?code=C` answers `C:N`, where C is what
// the loading request gave and N counts the requests since. `&ms=M` lets the answer take M
// milliseconds.

function counter(code) {
  return {
    compatibilityDate: "2026-08-01",
    mainModule: "main.js",
    modules: {
      "main.js": `let n = 0;
        export default {
          async fetch(request) {
            const ms = Number(new URL(request.url).searchParams.get("ms") ?? 0);
            if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
            return new Response(${JSON.stringify(`${code}:`)} + ++n);
          },
        };`,
    },
  };
}

export default {
  fetch(request, env) {
    const url = new URL(request.url);
    const child = env.LOADER.get(url.pathname.slice(1), () => counter(url.searchParams.get("code")));
    return child.getEntrypoint().fetch(request);
  },
};
