// agents: a Durable Object with state, SQL, schedules, and methods that browsers call. Its `@callable()` is a decorator.

import { Agent, callable, getAgentByName, routeAgentRequest } from "agents";
import { equal, same } from "../../kit/suite.js";

interface Bindings {
  Chat: DurableObjectNamespace<Chat>;
}

export class Chat extends Agent<Bindings, { said: number }> {
  initialState = { said: 0 };

  @callable()
  say(text: string): string {
    this.setState({ said: this.state.said + 1 });
    this.sql`CREATE TABLE IF NOT EXISTS said (text TEXT)`;
    this.sql`INSERT INTO said VALUES (${text})`;
    return `${this.name} said ${text}`;
  }

  @callable({ description: "What was said" })
  async all(): Promise<unknown> {
    return { state: this.state, rows: this.sql`SELECT text FROM said` };
  }

  notForBrowsers(): string {
    return "secret";
  }

  onMessage(connection: { send(text: string): void }, message: string): void {
    connection.send(`heard ${message}`);
  }

  async later(): Promise<string> {
    const schedule = await this.schedule(1, "ring", { bell: 1 });
    return schedule.type;
  }

  ring(payload: { bell: number }): void {
    this.setState({ said: 100 + payload.bell });
  }

  async rung(): Promise<unknown> {
    return [this.state.said, this.getSchedules().length];
  }
}

async function opened(env: Bindings, name: string) {
  const upgrade = new Request(`https://x/agents/chat/${name}`, { headers: { Upgrade: "websocket" } });
  const { webSocket } = (await routeAgentRequest(upgrade, env))!;
  const waiting = new Map<string, (message: { result?: unknown; error?: string }) => void>();
  const texts: string[] = [];
  webSocket!.addEventListener("message", ({ data }) => {
    const text = String(data);
    if (!text.startsWith("{")) texts.push(text);
    else waiting.get(JSON.parse(text).id)?.(JSON.parse(text));
  });
  webSocket!.accept();
  const call = (method: string, ...args: unknown[]) => new Promise<{ result?: unknown; error?: string }>((resolve) => {
    const id = crypto.randomUUID();
    waiting.set(id, resolve);
    webSocket!.send(JSON.stringify({ type: "rpc", id, method, args }));
  });
  return { webSocket: webSocket!, call, texts };
}

export const agents = {
  async agents_are_called_by_workers(env: Bindings) {
    const agent = await getAgentByName<Bindings, Chat>(env.Chat as never, "worker");
    equal(await agent.say("hello"), "worker said hello");
    same(await agent.all(), { state: { said: 1 }, rows: [{ text: "hello" }] });
  },

  async agents_are_called_by_browsers(env: Bindings) {
    const { webSocket, call, texts } = await opened(env, "browser");
    equal((await call("say", "hi")).result, "browser said hi");
    same((await call("all")).result, { state: { said: 1 }, rows: [{ text: "hi" }] });
    // Only what is decorated.
    equal((await call("notForBrowsers")).result, undefined);
    webSocket.send("text");
    await call("all");
    same(texts, ["heard text"]);
    webSocket.close(1000);
  },

  async agents_have_schedules(env: Bindings) {
    const agent = await getAgentByName<Bindings, Chat>(env.Chat as never, "later");
    equal(await agent.later(), "delayed");
    const until = Date.now() + 10_000;
    while (((await agent.rung()) as number[])[0] !== 101 && Date.now() < until) await scheduler.wait(50);
    same(await agent.rung(), [101, 0]);
  },
};
