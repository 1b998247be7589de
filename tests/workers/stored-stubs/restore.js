// `ctx.restore()` and `[restore]()`.

import { DurableObject, RpcStub, RpcTarget, WorkerEntrypoint, restore } from "cloudflare:workers";
import { equal, fails } from "../kit/suite.js";

/** How often a method was called with these args, in this process. */
const calls = new Map();
const called = (key) => calls.get(key) ?? 0;

class Counter extends RpcTarget {
  #value = 0;
  #ctx;
  constructor(ctx) {
    super();
    this.#ctx = ctx;
  }
  add(amount) {
    this.#value += amount;
    return this.#value;
  }
  sibling(key) {
    return this.#ctx.restore({ kind: "counter", key });
  }
}

class Both extends RpcTarget {
  #service;
  #counter;
  constructor({ service, counter }) {
    super();
    this.#service = service;
    this.#counter = counter;
  }
  async say(name) {
    return `${await this.#service.greet(name)} ${await this.#counter.add(2)}`;
  }
}

const DYNAMIC = `
import { RpcTarget, WorkerEntrypoint, restore } from "cloudflare:workers";
export class Outer extends WorkerEntrypoint {
  inner(word) { return this.ctx.restore({ word }); }
  async [restore]({ word }) { return this.ctx.exports.Inner({ props: { word: this.ctx.props.word + word } }); }
}
export class Inner extends WorkerEntrypoint {
  say(name) { return this.ctx.props.word + " " + name; }
}
`;

export class Maker extends WorkerEntrypoint {
  make(args) {
    return this.ctx.restore(args);
  }
  async [restore](args) {
    return gives.call(this, args);
  }
}

export class Bare extends WorkerEntrypoint {
  make() {
    return this.ctx.restore({});
  }
}

async function gives(args) {
  calls.set(args.key, called(args.key) + 1);
  switch (args.kind) {
    case "counter":
      return new Counter(this.ctx);
    case "stub":
      return new RpcStub(new Counter(this.ctx));
    case "function":
      return (name) => `called ${name}`;
    case "greeter":
      return this.ctx.exports.Greeter({ props: { greeting: args.greeting } });
    case "both":
      return new Both(args);
    case "number":
      return 123;
    case "plain":
      return { add: () => 1 };
    case "class":
      return this.ctx.exports.Hello;
    case "throws":
      throw new RangeError("not today");
    case "once":
      if (called(args.key) > 1) throw new RangeError("only once");
      return new Counter(this.ctx);
    case "service first":
      return called(args.key) > 1 ? new Counter(this.ctx) : this.ctx.exports.Greeter({ props: {} });
    case "object first":
      return called(args.key) > 1 ? this.ctx.exports.Greeter({ props: {} }) : new Counter(this.ctx);
    case "dynamic": {
      const word = args.word;
      const code = {
        compatibilityDate: "2026-08-01",
        compatibilityFlags: ["experimental", "allow_irrevocable_stub_storage"],
        allowExperimental: true,
        mainModule: "a.js",
        modules: { "a.js": DYNAMIC },
      };
      return this.env.LOADER.load(code).getEntrypoint("Outer", { props: { word } });
    }
    case "given":
      return args.stub;
    case "turncoat":
      return called(args.key) > 1 ? this.ctx.exports.Maker({ props: {} }) : gives.call(this, { ...args, kind: "dynamic" });
    case "facet":
      return this.ctx.facets.get(args.key, () => ({ class: this.ctx.exports.Leaf({ props: { key: args.key } }) }));
    case "itself":
      return called(args.key) > 1 ? this.ctx.storage.get("stub") : new Counter(this.ctx);
  }
  throw new Error(`no kind ${args.kind}`);
}

export class Keeper extends DurableObject {
  make(args) {
    return this.ctx.restore(args);
  }
  put(name, value) {
    return this.ctx.storage.put(name, value);
  }
  get(name) {
    return this.ctx.storage.get(name);
  }
  /** Makes one after a write, stores it, reads it back and calls it. */
  async round(args, method, ...values) {
    this.ctx.storage.kv.put("dirty", 1);
    const stub = await this.ctx.restore(args);
    await this.ctx.storage.put("stub", stub);
    return (await this.ctx.storage.get("stub"))[method](...values);
  }
  async facetRound(key, name) {
    const facet = await this.ctx.restore({ kind: "facet", key });
    const inner = await facet.inner("deep");
    await this.ctx.storage.put("facet", facet);
    await this.ctx.storage.put("inner", inner);
    const again = await this.ctx.storage.get("facet");
    return `${await again.say(name)}; ${await (await this.ctx.storage.get("inner")).greet(name)}`;
  }
  facet(key) {
    return this.ctx.facets.get(key, () => ({ class: this.ctx.exports.Leaf({ props: { key } }) }));
  }
  facetDirectly(key) {
    return this.facet(key).inner("deep");
  }
  async [restore](args) {
    return gives.call(this, args);
  }
}

export class Leaf extends DurableObject {
  say(name) {
    return `leaf ${this.ctx.props.key} ${name}`;
  }
  inner(greeting) {
    return this.ctx.restore({ kind: "greeter", greeting, key: "leaf" });
  }
  async [restore](args) {
    return gives.call(this, args);
  }
}

export const keeperOf = (ctx, name) => ctx.exports.Keeper.getByName(name);

export const restoreCases = {
  async what_a_restore_method_gives_is_called_stored_and_got_again(env, ctx) {
    const keeper = keeperOf(ctx, "kinds");
    for (const kind of ["counter", "stub"]) {
      const stub = await ctx.exports.Maker.make({ kind, key: kind });
      equal(stub instanceof RpcStub, true);
      equal(await stub.add(1), 1);
      equal(await stub.add(1), 2);
      equal(called(kind), 1, "calls of the method");
      await keeper.put(kind, [stub, stub.dup()]);
      const [first, second] = await keeper.get(kind);
      equal(called(kind), 1, "calls of the method before the stub is used");
      equal(await Promise.all([first.add(5), first.add(5)]).then(String), "5,10");
      equal(await second.add(7), 7);
      equal(called(kind), 3, "calls of the method");
    }
    const call = await ctx.exports.Maker.make({ kind: "function" });
    await keeper.put("function", call);
    equal(await (await keeper.get("function"))("x"), "called x");
    const service = await ctx.exports.Maker.make({ kind: "greeter", greeting: "Hey" });
    await keeper.put("service", service);
    const again = await keeper.get("service");
    equal(await again.greet("you"), "Hey, you");
    equal(await (await again.fetch("http://x/path")).text(), "Hey /path");
  },
  async a_durable_object_restores_what_it_made(env, ctx) {
    const keeper = keeperOf(ctx, "object");
    equal(await keeper.round({ kind: "counter", key: "object" }, "add", 3), 3);
    equal(await keeper.round({ kind: "greeter", greeting: "Yo", key: "object" }, "greet", "x"), "Yo, x");
  },
  async a_restored_stub_travels_and_is_stored_elsewhere(env, ctx) {
    const stub = await ctx.exports.Maker.make({ kind: "counter", key: "travel" });
    await env.PLAIN.getByName("travel").put("stub", { deep: stub });
    const there = await env.PLAIN.getByName("travel").get("stub");
    equal(await there.deep.add(4), 4);
    // What was read and sent on is the same still.
    await keeperOf(ctx, "travel").put("stub", there.deep);
    equal(await (await keeperOf(ctx, "travel").get("stub")).add(6), 6);
    equal(called("travel"), 3, "calls of the method");
  },
  async the_args_of_a_restore_method_may_hold_stubs(env, ctx) {
    const keeper = keeperOf(ctx, "args");
    const service = ctx.exports.Greeter({ props: { greeting: "Hi" } });
    const counter = await keeper.make({ kind: "counter", key: "arg" });
    equal(await keeper.round({ kind: "both", service, counter, key: "both" }, "say", "args"), "Hi, args 2");
    const plain = new RpcStub(new RpcTarget());
    const stub = await ctx.exports.Maker.make({ kind: "counter", plain });
    await fails(() => keeper.put("stub", stub), {
      name: "DataCloneError",
      message: /RpcStub cannot be serialized in this context/,
    });
  },
  async an_object_of_an_entrypoint_restores_after_its_call_is_over(env, ctx) {
    const stub = await ctx.exports.Maker.make({ kind: "counter", key: "first" });
    const sibling = await stub.sibling("second");
    await keeperOf(ctx, "sibling").put("stub", sibling);
    equal(await (await keeperOf(ctx, "sibling").get("stub")).add(8), 8);
    equal(called("second"), 2, "calls of the method");
  },
  async facets_and_dynamic_workers_are_restored_by_who_made_them(env, ctx) {
    equal(await keeperOf(ctx, "facets").facetRound("f", "x"), "leaf f x; deep, x");
    const outer = await ctx.exports.Maker.make({ kind: "dynamic", word: "a", key: "dynamic" });
    const inner = await outer.inner("b");
    equal(await inner.say("live"), "ab live");
    await keeperOf(ctx, "dynamic").put("inner", inner);
    equal(await (await keeperOf(ctx, "dynamic").get("inner")).say("again"), "ab again");
    equal(called("dynamic"), 2, "calls of the method");
  },
  async who_is_reached_by_no_restored_stub_cannot_restore(env, ctx) {
    const why = { name: "Error", message: /^ctx\.restore\(\) cannot be used in this context/ };
    await fails(() => keeperOf(ctx, "direct").facetDirectly("direct"), why);
    const code = {
      compatibilityDate: "2026-08-01",
      compatibilityFlags: ["experimental", "allow_irrevocable_stub_storage"],
      allowExperimental: true,
      mainModule: "a.js",
      modules: { "a.js": DYNAMIC },
    };
    await fails(() => env.LOADER.load(code).getEntrypoint("Outer", { props: { word: "a" } }).inner("b"), why);
  },
  async what_others_gave_keeps_its_own_way_back(env, ctx) {
    // A dynamic Worker behind somebody's stub: whoever hands it on is not asked for what it makes.
    const theirs = await ctx.exports.Maker.make({ kind: "dynamic", word: "a", key: "theirs" });
    const mine = await ctx.exports.Maker.make({ kind: "given", stub: theirs, key: "mine" });
    await keeperOf(ctx, "given").put("inner", await mine.inner("b"));
    equal(await (await keeperOf(ctx, "given").get("inner")).say("x"), "ab x");
    equal(`${called("theirs")} ${called("mine")}`, "2 1", "calls of the methods");
    // Another object's facet.
    const facet = await keeperOf(ctx, "owner").facet("f");
    equal(await facet.say("x"), "leaf f x");
    const passed = await keeperOf(ctx, "other").make({ kind: "given", stub: facet, key: "facet" });
    equal(await passed.say("y"), "leaf f y");
    await fails(() => passed.inner("deep"), { message: /^ctx\.restore\(\) cannot be used in this context/ });
    // The args that a dynamic Worker made are for no other's method.
    const turncoat = await ctx.exports.Maker.make({ kind: "turncoat", word: "a", key: "turncoat" });
    await keeperOf(ctx, "given").put("turncoat", await turncoat.inner("b"));
    await fails(async () => (await keeperOf(ctx, "given").get("turncoat")).say("x"), {
      name: "TypeError",
      message: /On replay it returned something else/,
    });
    // Twice at first, since it calls itself, and once again.
    equal(called("turncoat"), 3, "calls of the method");
  },
  async a_restore_method_that_gives_no_stub_is_an_error(env, ctx) {
    const { make } = ctx.exports.Maker;
    const no = { name: "TypeError", message: /^The \[restore\]\(\) method must return a ServiceStub or RpcStub/ };
    for (const kind of ["number", "plain", "class"]) await fails(() => make({ kind }), no);
    await fails(() => make({ kind: "throws" }), { name: "RangeError", message: /^not today$/ });
    await fails(() => make("text"), { name: "TypeError", message: /args must be an object/ });
    await fails(() => make({ kind: "counter", stream: new ReadableStream() }), { name: "DataCloneError" });
    await fails(() => ctx.exports.Bare.make(), { name: "TypeError", message: /does not implement a \[restore\]\(\) method/ });
    await fails(() => ctx.restore({}), { name: "TypeError", message: /does not implement a \[restore\]\(\) method/ });
    equal(typeof restore, "symbol");
  },
  async a_restore_method_that_changes_its_mind_is_an_error(env, ctx) {
    const keeper = keeperOf(ctx, "mind");
    const round = (kind, method) => keeper.round({ kind, key: kind }, method, 1);
    await fails(() => round("once", "add"), { name: "RangeError", message: /^only once$/ });
    await fails(() => round("service first", "greet"), {
      name: "TypeError",
      message: /originally returned a ServiceStub, but on replay it returned an RpcStub/,
    });
    await fails(() => round("object first", "add"), {
      name: "TypeError",
      message: /originally returned an RpcStub, but on replay it returned a ServiceStub/,
    });
  },
  async a_stub_that_leads_back_to_itself_is_refused(env, ctx) {
    await fails(() => keeperOf(ctx, "itself").round({ kind: "itself", key: "itself" }, "add", 1), {
      name: "TypeError",
      message: /read from storage and never called/,
    });
  },
  async what_restores_a_stub_is_bounded(env, ctx) {
    const keeper = keeperOf(ctx, "bounds");
    let stub = await keeper.make({ kind: "counter" });
    for (let depth = 0; depth < 20; depth++) stub = await keeper.make({ kind: "counter", stub });
    equal(await stub.add(1), 1);
    await fails(() => keeper.put("deep", stub), { name: "DataCloneError", message: /nested deeper than 16/ });
    const large = { kind: "counter", text: "x".repeat(1024 * 1024) };
    await fails(() => keeper.make(large), { message: /limit 1048576/ });
  },
};
