// Runs code that a model wrote: in a Worker of its own, with the API it was told of and nothing else.
//
// The code is the body of an async function. What it returns, what it printed and what went wrong come back as
// data, for the model to read; no failure of the code is a failure of this Worker.

/** What a run gives the model. */
export interface Outcome {
  result?: unknown;
  error?: string;
  logs: string[];
}

/** Around the code, in the sandbox. `console` is the code's own there, so its lines can be given back. */
const RUNNER = `
import { WorkerEntrypoint } from "cloudflare:workers";
import code from "./code.js";

const LINES_MAX = 200;

export default class extends WorkerEntrypoint {
  async run() {
    const logs = [];
    const print = (...values) => {
      if (logs.length < LINES_MAX) logs.push(values.map(shown).join(" "));
    };
    for (const level of ["debug", "log", "info", "warn", "error"]) console[level] = print;
    try {
      return { result: await code(this.env), logs };
    } catch (error) {
      // Where it was thrown in the API is nothing that the model could mend.
      return { error: String(error?.stack ?? error).split("\\n--- remote ---")[0], logs };
    }
  }
}

function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value) ?? String(value);
}
`;

/** `apis` are the names that the code has in scope. */
export async function run(loader: WorkerLoader, code: string, apis: Record<string, unknown>): Promise<Outcome> {
  // On one line, so that places in errors are those of the code.
  const source = `export default async ({ ${Object.keys(apis).join(", ")} }) => {${code}\n};`;
  const worker = loader.load({
    compatibilityDate: "2026-08-01",
    mainModule: "runner.js",
    modules: { "runner.js": RUNNER, "code.js": source },
    env: apis,
    // No network: the API is all there is.
    globalOutbound: null,
  });
  try {
    const entrypoint = worker.getEntrypoint() as unknown as { run(): Promise<Outcome> };
    return await entrypoint.run();
  } catch (error) {
    // It did not parse, used more than it may, or returned what cannot be sent. Only the first has a place.
    const [, place] = String((error as Error).stack).split("--- remote ---\n");
    return { error: error instanceof SyntaxError && place !== undefined ? place : String(error), logs: [] };
  }
}
