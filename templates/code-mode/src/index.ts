// Code Mode: instead of calling tools one by one, a model writes code against a typed API, and the code runs in a
// sandbox. One program does what would have been a dozen calls, and only its result goes back to the model.
//
//   GET  /          what to tell the model: how to write the code, and the API's declarations
//   POST /<user>    runs the code in the body for that user; answers { result, error, logs } as JSON
//
// Put your own authentication in front: here a user is who they say they are.

import declarations from "./notes.d.ts";
import { run } from "./sandbox";

export { Notes } from "./notes";

const INSTRUCTIONS = `Write the body of an async JavaScript function. Return what you want to know; console.log
is shown to you as well. There is no network and no file system; this is all there is:

`;

interface Env {
  LOADER: WorkerLoader;
}

export default {
  async fetch(request, env, ctx): Promise<Response> {
    const user = decodeURIComponent(new URL(request.url).pathname.slice(1));
    if (request.method === "GET" && user === "") return new Response(INSTRUCTIONS + declarations);
    if (request.method !== "POST" || user === "") {
      return new Response("GET / tells what there is; POST /<user> runs the code in its body\n", { status: 404 });
    }
    const notes = ctx.exports.Notes({ props: { user } });
    return Response.json(await run(env.LOADER, await request.text(), { notes }));
  },
} satisfies ExportedHandler<Env>;
