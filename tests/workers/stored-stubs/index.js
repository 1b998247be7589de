// Service stubs, classes and stubs of Durable Objects as stored values.

import { DurableObject, RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
import { equal, fails, suite } from "../kit/suite.js";
import { keeperOf, restoreCases } from "./restore.js";
export { Bare, Keeper, Leaf, Maker } from "./restore.js";

export class Greeter extends WorkerEntrypoint {
  greet(name) {
    return `${this.ctx.props.greeting ?? "?"}, ${name}`;
  }
  async chain(name) {
    return `${this.ctx.props.greeting} and ${await this.ctx.props.next.greet(name)}`;
  }
  props() {
    return this.ctx.props;
  }
  fetch(request) {
    return new Response(`${this.ctx.props.greeting} ${new URL(request.url).pathname}`);
  }
}

export class Hello extends DurableObject {
  setName(name) {
    this.ctx.storage.kv.put("name", name);
  }
  greet() {
    return `${this.ctx.props.greeting}, ${this.ctx.storage.kv.get("name")}`;
  }
}

class Store extends DurableObject {
  put(name, value) {
    return this.ctx.storage.put(name, value);
  }
  get(name) {
    return this.ctx.storage.get(name);
  }
  async putNow(greeting) {
    // After a write that is not durable yet.
    this.ctx.storage.kv.put("dirty", 1);
    this.ctx.storage.kv.put("now", [this.ctx.exports.Greeter({ props: { greeting } }), greeting]);
    const [stub, text] = this.ctx.storage.kv.get("now");
    return `${text}: ${await stub.greet("now")}`;
  }
  async listAndCall(prefix) {
    const said = [];
    for (const [name, stub] of await this.ctx.storage.list({ prefix })) said.push(`${name} ${await stub.greet("list")}`);
    return said.join("; ");
  }
  async facet(name) {
    const facet = this.ctx.facets.get(name, async () => ({ class: await this.ctx.storage.get(name) }));
    await facet.setName("Bob");
    return facet.greet();
  }
}
export { Store };

export class Plain extends DurableObject {
  put(name, value) {
    return this.ctx.storage.put(name, value);
  }
  get(name) {
    return this.ctx.storage.get(name);
  }
}

const storeOf = (ctx, name) => ctx.exports.Store.getByName(name);

const handlers = suite({
  async a_service_stub_with_props_is_stored_and_called(env, ctx) {
    const store = storeOf(ctx, "service");
    await store.put("stub", ctx.exports.Greeter({ props: { greeting: "Yo" } }));
    const stub = await store.get("stub");
    equal(await stub.greet("Alice"), "Yo, Alice");
    equal(await (await stub.fetch("http://x/path")).text(), "Yo /path");
    const plain = env.PLAIN.getByName("service");
    await plain.put("stub", ctx.exports.Greeter({ props: { greeting: "Hey" } }));
    equal(await (await plain.get("stub")).greet("Bob"), "Hey, Bob");
  },
  async stubs_in_props_and_in_larger_values_come_back(env, ctx) {
    const store = storeOf(ctx, "nested");
    const inner = ctx.exports.Greeter({ props: { greeting: "inner" } });
    const outer = ctx.exports.Greeter({ props: { greeting: "outer", next: inner } });
    await store.put("value", { list: [inner, 1], outer, again: inner });
    const value = await store.get("value");
    equal(await value.outer.chain("x"), "outer and inner, x");
    equal(await value.list[0].greet("y"), "inner, y");
    equal(value.list[1], 1);
    equal(value.again === undefined, false);
  },
  async a_stub_is_stored_in_the_turn_that_makes_it(env, ctx) {
    equal(await storeOf(ctx, "now").putNow("soon"), "soon: soon, now");
  },
  async many_values_are_listed_with_their_stubs(env, ctx) {
    const store = storeOf(ctx, "list");
    for (const greeting of ["a", "b"]) await store.put(`s-${greeting}`, ctx.exports.Greeter({ props: { greeting } }));
    equal(await store.listAndCall("s-"), "s-a a, list; s-b b, list");
  },
  async a_class_is_stored_and_started_as_a_facet(env, ctx) {
    const store = storeOf(ctx, "class");
    await store.put("hello", ctx.exports.Hello({ props: { greeting: "Hiya" } }));
    equal(await store.facet("hello"), "Hiya, Bob");
  },
  async a_durable_objects_stub_leads_back_to_the_same_object(env, ctx) {
    const target = storeOf(ctx, "target");
    await target.put("marker", "here");
    await storeOf(ctx, "keeper").put("stub", target);
    const stub = await storeOf(ctx, "keeper").get("stub");
    equal(await stub.get("marker"), "here");
  },
  async what_was_received_may_be_stored_if_its_maker_lets_it(env, ctx) {
    const store = storeOf(ctx, "received");
    const flag = { name: "DataCloneError", message: /target worker does not have the allow_irrevocable_stub_storage/ };
    await fails(async () => store.put("stub", await env.PEER.make()), flag);
    await fails(() => store.put("stub", env.SELF), flag);
    await fails(() => store.put("stub", env.STORES.getByName("other")), flag);
    await fails(() => store.put("stub", new RpcStub(new RpcTarget())), {
      name: "DataCloneError",
      message: /RpcStub cannot be serialized in this context/,
    });
    equal(await store.get("stub"), undefined);
  },
  ...restoreCases,
  async props_of_a_configured_service_arrive(env) {
    equal(await env.SELF.greet("props"), "configured, props");
    equal(JSON.stringify((await env.SELF.props()).more), '{"list":[1,null,"ü"],"flag":true}');
  },
  async entrypoints_of_dynamic_workers_have_their_own_error(env, ctx) {
    const code = {
      compatibilityDate: "2026-08-01",
      compatibilityFlags: ["experimental", "allow_irrevocable_stub_storage"],
      allowExperimental: true,
      mainModule: "a.js",
      modules: { "a.js": "export default { fetch: () => new Response('') }" },
    };
    const stub = env.LOADER.load(code).getEntrypoint();
    await fails(() => storeOf(ctx, "dynamic").put("stub", stub), {
      name: "DataCloneError",
      message: /Entrypoints to dynamically-loaded workers cannot be transferred/,
    });
  },
});

export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    if (pathname === "/restored") {
      const stub = await keeperOf(ctx, "kept").get("stub");
      return new Response(String(await stub.add(2)));
    }
    if (pathname === "/call") return new Response(await (await storeOf(ctx, "kept").get("stub")).greet("again"));
    if (pathname === "/keep") {
      await storeOf(ctx, "kept").put("stub", ctx.exports.Greeter({ props: { greeting: "kept" } }));
      const args = { kind: "counter", key: "kept" };
      await keeperOf(ctx, "kept").put("stub", await ctx.exports.Maker.make(args));
      return new Response("kept");
    }
    return handlers.fetch(request, env, ctx);
  },
};
