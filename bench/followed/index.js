// What `mayfly-bench tails` asks: the same child without a tail, with one, and with a streaming one.

const CHILD = `export default { async fetch(request) {
  console.log("asked", request.url);
  return new Response("child");
} };`;

function child({ LOADER, SINK }, how) {
  return LOADER.get(how, () => ({
    compatibilityDate: "2026-08-01", compatibilityFlags: ["experimental"], allowExperimental: true,
    mainModule: "main.js", modules: { "main.js": CHILD },
    tails: how === "tail" ? [SINK] : [],
    streamingTails: how === "stream" ? [SINK] : [],
  }));
}

export default {
  fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/hello") return new Response("hello");
    if (pathname === "/count") return env.SINK.fetch(request);
    return child(env, pathname.slice(1)).getEntrypoint().fetch("https://child/path");
  },
};
