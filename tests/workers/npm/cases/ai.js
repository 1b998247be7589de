// ai (the AI SDK): text, objects, tools and streams of a model of ours, and the protocol it speaks
// to browsers.

import {
  Output, convertToModelMessages, createUIMessageStream, createUIMessageStreamResponse, embed, generateText, isStepCount,
  simulateReadableStream, smoothStream, streamText, tool, wrapLanguageModel, extractReasoningMiddleware,
} from "ai";
import { MockEmbeddingModelV4, MockLanguageModelV4 } from "ai/test";
import * as z from "zod";
import { equal, fails, matches, same } from "../../kit/suite.js";

const usage = {
  inputTokens: { total: 3, noCache: 3, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 4, text: 4, reasoning: undefined },
};
const stop = { unified: "stop", raw: undefined };

const says = (text) => ({ content: [{ type: "text", text }], finishReason: stop, usage, warnings: [] });

function streaming(parts, finishReason = stop) {
  const chunks = [{ type: "stream-start", warnings: [] }, ...parts, { type: "finish", finishReason, usage }];
  return { stream: simulateReadableStream({ chunks, initialDelayInMs: 1, chunkDelayInMs: 1 }) };
}

const speaks = (...deltas) => streaming([
  { type: "text-start", id: "1" },
  ...deltas.map((delta) => ({ type: "text-delta", id: "1", delta })),
  { type: "text-end", id: "1" },
]);

const weather = tool({
  description: "The weather of a city",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => ({ city, sky: "clear" }),
});

export const ai = {
  async ai_generates() {
    const model = new MockLanguageModelV4({ doGenerate: says("hello") });
    const result = await generateText({ model, instructions: "be brief", prompt: "hi" });
    same([result.text, result.finishReason, result.usage.totalTokens], ["hello", "stop", 7]);
    equal(model.doGenerateCalls[0].prompt.length, 2);

    const shaped = new MockLanguageModelV4({ doGenerate: says('{"name":"Ann","tags":["a"]}') });
    const schema = z.object({ name: z.string(), tags: z.array(z.string()) });
    same((await generateText({ model: shaped, output: Output.object({ schema }), prompt: "who" })).output, { name: "Ann", tags: ["a"] });

    const embedder = new MockEmbeddingModelV4({ doEmbed: async ({ values }) => ({ embeddings: values.map((text) => [text.length]), warnings: [] }) });
    same((await embed({ model: embedder, value: "four" })).embedding, [4]);
  },

  async ai_streams() {
    const model = new MockLanguageModelV4({ doStream: async () => speaks("Hello", ", ", "wor", "ld!") });
    const result = streamText({ model, prompt: "hi" });
    const deltas = [];
    for await (const delta of result.textStream) deltas.push(delta);
    same(deltas, ["Hello", ", ", "wor", "ld!"]);
    same([await result.text, await result.finishReason], ["Hello, world!", "stop"]);

    const smooth = streamText({ model, prompt: "hi", experimental_transform: smoothStream({ delayInMs: 1 }) });
    const words = [];
    for await (const word of smooth.textStream) words.push(word);
    same(words, ["Hello, ", "world!"]);

    equal(await streamText({ model, prompt: "hi" }).toTextStreamResponse().text(), "Hello, world!");
  },

  async ai_calls_tools() {
    const calls = { type: "tool-call", toolCallId: "t1", toolName: "weather", input: '{"city":"Paris"}' };
    let step = 0;
    const model = new MockLanguageModelV4({
      doStream: async () => (step++ === 0 ? streaming([calls], { unified: "tool-calls", raw: undefined }) : speaks("It is ", "clear")),
    });
    const finished = [];
    const result = streamText({
      model, prompt: "how is it?", tools: { weather }, stopWhen: isStepCount(3),
      onStepFinish: ({ toolResults }) => { finished.push(toolResults.map((one) => one.output.sky)); },
    });
    equal(await result.text, "It is clear");
    same(finished, [["clear"], []]);
    equal((await result.steps).length, 2);
  },

  async ai_speaks_to_browsers() {
    const model = new MockLanguageModelV4({ doStream: async () => speaks("a", "b") });
    const response = createUIMessageStreamResponse({
      stream: createUIMessageStream({
        execute: async ({ writer }) => {
          writer.write({ type: "data-note", data: { n: 1 } });
          const messages = await convertToModelMessages([{ role: "user", parts: [{ type: "text", text: "hi" }] }]);
          writer.merge(streamText({ model, messages }).toUIMessageStream());
        },
      }),
    });
    equal(response.headers.get("content-type"), "text/event-stream");
    const events = (await response.text()).trim().split("\n\n").map((line) => line.slice("data: ".length));
    equal(events.pop(), "[DONE]");
    const types = events.map((event) => JSON.parse(event).type);
    for (const type of ["data-note", "start", "text-start", "text-delta", "text-end", "finish"]) {
      equal(types.includes(type), true, `${type} in ${types}`);
    }
  },

  async ai_aborts_and_fails() {
    const controller = new AbortController();
    const model = new MockLanguageModelV4({
      doStream: async () => ({ stream: simulateReadableStream({ chunks: [{ type: "stream-start", warnings: [] }], initialDelayInMs: 1 }) }),
      doGenerate: async ({ abortSignal }) => {
        setTimeout(() => controller.abort(), 5);
        await new Promise((_, reject) => abortSignal.addEventListener("abort", () => reject(abortSignal.reason)));
      },
    });
    await fails(() => generateText({ model, prompt: "x", abortSignal: controller.signal }), { name: "AbortError" });
    const invalid = new MockLanguageModelV4({ doGenerate: says("not json") });
    const error = await fails(() => generateText({ model: invalid, output: Output.object({ schema: z.object({}) }), prompt: "x" }).then((r) => r.output));
    matches(error.name, /NoObjectGenerated/);
  },

  async ai_middleware() {
    const model = wrapLanguageModel({
      model: new MockLanguageModelV4({ doGenerate: says("<think>hmm</think>done") }),
      middleware: extractReasoningMiddleware({ tagName: "think" }),
    });
    const result = await generateText({ model, prompt: "x" });
    same([result.text, result.reasoningText], ["done", "hmm"]);
  },
};
