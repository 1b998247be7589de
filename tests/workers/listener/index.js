// Service-worker syntax: no exports, a listener, bindings as globals.

addEventListener("fetch", (event) => {
  const { pathname } = new URL(event.request.url);
  let why = "no error";
  event.respondWith(Promise.resolve().then(() => answer(event, pathname, why)));
  try {
    event.respondWith(new Response("a second answer"));
  } catch (error) {
    why = `${error.name}: ${error.message}`;
  }
});

addEventListener("fetch", () => {
  // The first answer ends the dispatch.
  globalThis.second = true;
});

function answer(event, pathname, why) {
  switch (pathname) {
    case "/greeting":
      return new Response(GREETING);
    case "/second":
      return new Response(String(globalThis.second === true));
    case "/twice":
      return new Response(why);
    case "/late":
      try {
        event.respondWith(new Response(""));
        return new Response("no error");
      } catch (error) {
        return new Response(error.message);
      }
    case "/event":
      event.waitUntil(Promise.resolve());
      event.passThroughOnException();
      return Response.json([event instanceof FetchEvent, event instanceof ExtendableEvent, event.isTrusted, event.type]);
    default:
      return new Response("none", { status: 404 });
  }
}
