// openai: the client against a service of ours, another Worker, reached by a binding whose `fetch`
// takes the place of the global one.

import OpenAI, { toFile } from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import * as z from "zod";
import { equal, fails, matches, same } from "../../kit/suite.js";

function client(env, more) {
  return new OpenAI({ apiKey: "key", baseURL: "https://openai.test/v1", fetch: env.OPENAI.fetch.bind(env.OPENAI), ...more });
}

const ask = (content) => ({ model: "fake-1", messages: [{ role: "user", content }] });

export const openai = {
  async openai(env) {
    const api = client(env);
    const answer = await api.chat.completions.create(ask("hé"));
    equal(answer.choices[0].message.content, "you said: hé");
    const { data, response } = await api.chat.completions.create(ask("x")).withResponse();
    same([data.id, response.status], ["c1", 200]);
    equal((await api.responses.create({ model: "fake-1", input: "q" })).output_text, "answer to q");
    same((await api.embeddings.create({ model: "fake-1", input: "four" })).data[0].embedding, [0.5, -2, 4]);
    const file = await toFile(new Uint8Array([1, 2, 3]), "a.bin", { type: "application/octet-stream" });
    const uploaded = await api.files.create({ file, purpose: "assistants" });
    same([uploaded.filename, uploaded.bytes, uploaded.purpose], ["a.bin", 3, "assistants"]);
    const fromStream = await api.files.create({ file: new Response("streamed").body, purpose: "batch" }).catch((error) => error);
    equal(fromStream.bytes, 8, `a stream as file: ${fromStream}`);
  },

  async openai_streams(env) {
    const api = client(env);
    const words = [];
    for await (const chunk of await api.chat.completions.create({ ...ask("one two"), stream: true })) {
      words.push(chunk.choices[0].delta.content ?? "");
    }
    equal(words.join(""), "you said: one two");
    equal(words.length > 4, true);

    const events = [];
    const runner = api.chat.completions.stream(ask("three"));
    runner.on("content", (delta) => events.push(delta));
    equal((await runner.finalChatCompletion()).choices[0].message.content, "you said: three");
    equal(events.join(""), "you said: three");

    const responses = api.responses.stream({ model: "fake-1", input: "much" });
    let text = "";
    for await (const event of responses) if (event.type === "response.output_text.delta") text += event.delta;
    equal(text, "answer to much");
    equal((await responses.finalResponse()).output_text, "answer to much");

    const readable = (await api.chat.completions.create({ ...ask("out"), stream: true })).toReadableStream();
    matches(await new Response(readable).text(), /"content":"out"/);
  },

  async openai_tools(env) {
    const seen = [];
    const weather = {
      type: "function",
      function: {
        name: "weather",
        parameters: { type: "object", properties: { city: { type: "string" } } },
        parse: JSON.parse,
        function: async ({ city }) => { seen.push(city); return `sun in ${city}`; },
      },
    };
    const runner = client(env).chat.completions.runTools({ ...ask("how is it?"), tools: [weather] });
    equal(await runner.finalContent(), "you said: sun in Paris");
    same(seen, ["Paris"]);
    equal(zodResponseFormat(z.object({ n: z.number() }), "shape").json_schema.schema.properties.n.type, "number");
  },

  async openai_errors(env) {
    const wrong = await fails(() => client(env, { apiKey: "other" }).chat.completions.create(ask("x")));
    equal(wrong instanceof OpenAI.AuthenticationError, true);
    same([wrong.status, wrong.code, wrong.message], [401, "invalid_api_key", "401 wrong key"]);
    equal((await client(env).models.retrieve("flaky")).id, "flaky");
    const slow = await fails(() => client(env, { timeout: 20, maxRetries: 0 }).models.retrieve("slow"));
    equal(slow instanceof OpenAI.APIConnectionTimeoutError, true, `${slow}`);
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 10);
    const aborted = await fails(() => client(env).models.retrieve("slow", { signal: controller.signal }));
    equal(aborted instanceof OpenAI.APIUserAbortError, true, `${aborted}`);
    const stream = await client(env).chat.completions.create({ ...ask("a b c d e f g"), stream: true });
    for await (const _ of stream) break;
    equal(stream.controller.signal.aborted, true);
  },
};
