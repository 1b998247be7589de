// A Worker beside a folder of files; `tests/assets.rs` looks at it from outside.

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/api/through") {
      const file = await env.ASSETS.fetch(new URL("/blog/", request.url));
      return new Response(`${file.status} ${file.headers.get("content-type")} ${await file.text()}`);
    }
    if (pathname === "/api/missing") {
      const file = await env.ASSETS.fetch(new URL("/docs/none", request.url));
      return new Response(`${file.status} ${await file.text()}`);
    }
    return new Response(`worker ${request.method} ${pathname}`);
  },
};
