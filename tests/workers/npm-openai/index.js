// What the `openai` package expects of its service, over HTTP: enough of chat completions,
// responses, embeddings, models and files to answer one client. What it answers says what it was
// asked.

const MODEL = "fake-1";

function sse(events) {
  const encoder = new TextEncoder();
  const queue = events.map((event) => `data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`);
  return new ReadableStream({
    async pull(controller) {
      const next = queue.shift();
      if (next === undefined) return controller.close();
      await new Promise((resolve) => setTimeout(resolve, 1));
      // Cut in two: events do not arrive in whole chunks.
      controller.enqueue(encoder.encode(next.slice(0, 9)));
      controller.enqueue(encoder.encode(next.slice(9)));
    },
  });
}

function completion(choice) {
  return { id: "c1", object: "chat.completion", created: 1, model: MODEL, choices: [{ index: 0, ...choice }] };
}

function chat({ messages, stream, tools }) {
  const said = messages.at(-1).content;
  if (stream) {
    const words = `you said: ${said}`.split(/(?<= )/);
    const chunk = (delta, finish_reason = null) => ({ ...completion({ delta, finish_reason }), object: "chat.completion.chunk" });
    const events = [chunk({ role: "assistant", content: "" }), ...words.map((content) => chunk({ content })), chunk({}, "stop"), "[DONE]"];
    return new Response(sse(events), { headers: { "content-type": "text/event-stream" } });
  }
  if (tools && messages.at(-1).role === "user") {
    const call = { id: "t1", type: "function", function: { name: tools[0].function.name, arguments: '{"city":"Paris"}' } };
    return Response.json(completion({ message: { role: "assistant", content: null, tool_calls: [call] }, finish_reason: "tool_calls" }));
  }
  return Response.json(completion({ message: { role: "assistant", content: `you said: ${said}` }, finish_reason: "stop" }));
}

function response({ input, stream }) {
  const text = `answer to ${input}`;
  const part = { type: "output_text", text, annotations: [] };
  const message = { id: "m1", type: "message", role: "assistant", status: "completed", content: [part] };
  const whole = { id: "r1", object: "response", created_at: 1, status: "completed", model: MODEL, output: [message] };
  if (!stream) return Response.json(whole);
  const place = { item_id: "m1", output_index: 0, content_index: 0 };
  const events = [
    { type: "response.created", response: { ...whole, status: "in_progress", output: [] } },
    { type: "response.output_item.added", output_index: 0, item: { ...message, status: "in_progress", content: [] } },
    { type: "response.content_part.added", ...place, part: { ...part, text: "" } },
    ...text.split(/(?<= )/).map((delta) => ({ type: "response.output_text.delta", ...place, delta })),
    { type: "response.completed", response: whole },
  ];
  const numbered = events.map((event, sequence_number) => ({ ...event, sequence_number }));
  return new Response(sse(numbered), { headers: { "content-type": "text/event-stream" } });
}

async function upload(request) {
  const form = await request.formData();
  const file = form.get("file");
  return Response.json({ id: "f1", object: "file", bytes: file.size, filename: file.name, purpose: form.get("purpose") });
}

function embeddings({ input, encoding_format }) {
  const numbers = new Float32Array([0.5, -2, input.length]);
  const embedding = encoding_format === "base64" ? btoa(String.fromCharCode(...new Uint8Array(numbers.buffer))) : [...numbers];
  return Response.json({ object: "list", model: MODEL, data: [{ object: "embedding", index: 0, embedding }] });
}

/** Requests refused so far, by their idempotent name. */
let refusals = 0;

function flaky() {
  if (refusals++ === 0) return new Response("later", { status: 503, headers: { "retry-after-ms": "1" } });
  return Response.json({ id: "flaky", object: "model", created: 1, owned_by: "fake" });
}

export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (request.headers.get("authorization") !== "Bearer key") {
      return Response.json({ error: { message: "wrong key", code: "invalid_api_key", type: "auth" } }, { status: 401 });
    }
    switch (`${request.method} ${pathname}`) {
      case "POST /v1/chat/completions": return chat(await request.json());
      case "POST /v1/responses": return response(await request.json());
      case "POST /v1/embeddings": return embeddings(await request.json());
      case "POST /v1/files": return upload(request);
      case "GET /v1/models/flaky": return flaky();
      case "GET /v1/models/slow": return new Promise(() => setTimeout(() => {}, 5_000));
      default: return Response.json({ error: { message: `no ${pathname}` } }, { status: 404 });
    }
  },
};
