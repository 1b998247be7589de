// Plain HTTP behaviour, one path each; `tests/http.rs` looks at it from outside.

let aborted = "nobody";

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/":
        return new Response("hello");
      case "/echo":
        return new Response(request.body, { headers: { "content-type": request.headers.get("content-type") ?? "none" } });
      case "/head":
        return new Response("body of a GET", { headers: { "x-method": request.method } });
      case "/status": {
        const status = Number(url.searchParams.get("code"));
        return new Response(null, { status });
      }
      case "/cookies": {
        const headers = new Headers();
        headers.append("set-cookie", "a=1; Path=/");
        headers.append("set-cookie", "b=2, with a comma");
        return new Response("cookies", { headers });
      }
      case "/headers":
        return Response.json([...request.headers]);
      case "/url":
        return new Response(`${request.method} ${request.url}`);
      case "/big": {
        let left = Number(url.searchParams.get("bytes"));
        const chunk = new Uint8Array(65536);
        return new Response(
          new ReadableStream({
            type: "bytes",
            pull(controller) {
              if (left === 0) return controller.close();
              const size = Math.min(left, chunk.byteLength);
              controller.enqueue(chunk.slice(0, size));
              left -= size;
            },
          }),
        );
      }
      case "/count": {
        let bytes = 0;
        for await (const part of request.body ?? []) bytes += part.byteLength;
        return new Response(String(bytes));
      }
      case "/throw":
        throw new TypeError("thrown on purpose");
      case "/slow":
        await new Promise((resolve) => setTimeout(resolve, Number(url.searchParams.get("ms"))));
        return new Response("slow");
      case "/hang": {
        const gone = new Promise((resolve) => request.signal.addEventListener("abort", resolve));
        ctx.waitUntil(gone.then(() => { aborted = "the client"; }));
        await gone;
        return new Response("too late");
      }
      case "/aborted":
        return new Response(aborted);
      case "/fetch":
        return fetch(url.searchParams.get("url"), { redirect: url.searchParams.get("redirect") ?? "follow" });
      default:
        return new Response("not found", { status: 404 });
    }
  },
};
