// @cloudflare/codemode: a model writes code against typed tools, and a dynamic Worker runs it.

import { DynamicWorkerExecutor } from "@cloudflare/codemode";
import { createCodeTool } from "@cloudflare/codemode/ai";
import { tool } from "ai";
import { z } from "zod";
import { equal, fails, matches, same } from "../../kit/suite.js";

const tools = {
  getWeather: tool({
    description: "The weather of a place",
    inputSchema: z.object({ location: z.string() }),
    execute: async ({ location }) => ({ location, degrees: 21 }),
  }),
};

function codemode(env, options) {
  return createCodeTool({ tools, executor: new DynamicWorkerExecutor({ loader: env.LOADER, ...options }) });
}

export const codemodes = {
  async codemode_describes_its_tools(env) {
    matches(codemode(env).description, /getWeather: \(input: GetWeatherInput\) => Promise/);
  },

  async codemode_runs_what_a_model_wrote(env) {
    const code = `async () => {
      const places = await Promise.all(["Rome", "Oslo"].map((location) => codemode.getWeather({ location })));
      console.log("asked", places.length);
      return places.map(({ location, degrees }) => location + " " + degrees).join();
    }`;
    const { result, logs } = await codemode(env).execute({ code }, {});
    equal(result, "Rome 21,Oslo 21");
    same(logs, ["asked 2"]);
  },

  async codemode_tells_what_went_wrong(env) {
    const failed = async (code) => (await fails(() => codemode(env).execute({ code }, {}))).message;
    matches(await failed("async () => { throw new RangeError('out'); }"), /out/);
    matches(await failed("async () => codemode.getWeather({ location: 1 })"), /location|string/);
    matches(await failed("async () => codemode.getNothing({})"), /getNothing/);
    matches(await failed("async () => fetch('https://example.com/')"), /not permitted to access the internet/);
    matches(await failed("async ( => 1"), /expected expression/);
  },

  async codemode_ends_what_takes_too_long(env) {
    const slow = codemode(env, { timeout: 100 });
    const { message } = await fails(() => slow.execute({ code: "async () => { await new Promise((done) => setTimeout(done, 5000)); }" }, {}));
    matches(message, /timed out/);
  },
};
