// Two Workers of this same code (the other one is `PEER`), two objects, two facets and two dynamic Workers:
// whatever the names, none finds what another one stored. Names are those that would lead somewhere else
// if they became paths, keys or C strings.

import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import { equal, fails, same, suite } from "../kit/suite.js";

const HOSTILE = [
  "same", "../x", "../../same", "x/../same", "/etc/passwd", "a/b", "a", "b", "", ".", "..", "\0", "same\0", "\0same",
  "same\0.sqlite", "\u{1f41d}", "same.sqlite", "same.facets", "%2e%2e%2fx", "..\\x", "_cf_KV", "main",
];
const LONG = "x".repeat(10_000);
const LONGEST = { facet: "x".repeat(256), worker: "x".repeat(2048), given: "x".repeat(1024) };

const APP = `
  import { DurableObject } from "cloudflare:workers";
  export class App extends DurableObject {
    put(value) {
      this.ctx.storage.kv.put("value", value);
      this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS own (value); DELETE FROM own");
      this.ctx.storage.sql.exec("INSERT INTO own VALUES (?)", value);
    }
    see() {
      const { sql, kv } = this.ctx.storage;
      const tables = sql.exec("SELECT name FROM sqlite_master WHERE name = 'own'").toArray();
      return [kv.get("value") ?? null, tables.length === 0 ? null : sql.exec("SELECT value FROM own").one().value];
    }
    keys() { return [...this.ctx.storage.kv.list()].map(([key]) => key); }
    under(name, what, ...args) {
      return this.ctx.facets.get(name, () => ({ class: this.ctx.exports.App }))[what](...args);
    }
    whoami() { return String(this.ctx.id); }
  }
  export default { fetch() { return new Response("no objects of mine"); } };
`;

export class Parent extends DurableObject {
  #class(worker) {
    return this.env.LOADER.get(worker, () => ({
      compatibilityDate: "2026-08-01",
      mainModule: "main.js",
      modules: { "main.js": APP },
      globalOutbound: null,
    })).getDurableObjectClass("App");
  }
  facet(worker, name, what, ...args) {
    return this.ctx.facets.get(name, () => ({ class: this.#class(worker) }))[what](...args);
  }
  as(id, name, what, ...args) {
    return this.ctx.facets.get(name, () => ({ class: this.#class("same"), id }))[what](...args);
  }
  put(value) {
    this.ctx.storage.kv.put("value", value);
  }
  see() {
    return this.ctx.storage.kv.get("value") ?? null;
  }
  keys() {
    return [...this.ctx.storage.kv.list()].map(([key]) => key);
  }
}

/** The same questions to this Worker's objects, from the other one. */
export class Door extends WorkerEntrypoint {
  object(name, what, ...args) {
    return this.env.PARENT.getByName(name)[what](...args);
  }
  id(name) {
    return String(this.env.PARENT.idFromName(name));
  }
  byId(id, what, ...args) {
    return this.env.PARENT.get(this.env.PARENT.idFromString(id))[what](...args);
  }
  unique() {
    return String(this.env.PARENT.newUniqueId());
  }
}

const START = Date.now();

const cases = suite({
  async two_workers_with_objects_of_one_name_and_id({ PARENT, PEER }) {
    const names = [...HOSTILE, LONG, `${LONG}y`].map((name) => `${name}${START}`);
    for (const name of names) {
      await PARENT.getByName(name).put(`a's ${name}`);
      equal(await PEER.object(name, "see"), null, `what b sees of ${name.slice(0, 20)}`);
      await PEER.object(name, "put", `b's ${name}`);
    }
    for (const name of names) {
      equal(await PARENT.getByName(name).see(), `a's ${name}`);
      equal(await PEER.object(name, "see"), `b's ${name}`);
      const [ours, theirs] = [String(PARENT.idFromName(name)), await PEER.id(name)];
      equal(ours === theirs, false, "ids of one name");
      await fails(() => PARENT.idFromString(theirs), { name: "TypeError", message: /not valid for this namespace/ });
      await fails(() => PEER.byId(ours, "see"), { name: "TypeError", message: /not valid for this namespace/ });
    }
    await fails(async () => PARENT.idFromString(await PEER.unique()), { name: "TypeError" });
    await fails(() => PEER.byId(String(PARENT.newUniqueId()), "see"), { name: "TypeError" });
  },
  async two_parents_with_one_id_of_worker_class_and_facet({ PARENT, PEER }) {
    const name = `parents ${START}`;
    const facets = [...HOSTILE, LONGEST.facet];
    for (const facet of facets) {
      await PARENT.getByName(name).facet("same", facet, "put", `a's ${facet}`);
      same(await PEER.object(name, "facet", "same", facet, "see"), [null, null], `what b sees of ${JSON.stringify(facet)}`);
      await PEER.object(name, "facet", "same", facet, "put", `b's ${facet}`);
      // A second object of the same Worker is another parent as well.
      same(await PARENT.getByName(`${name} too`).facet("same", facet, "see"), [null, null]);
      await PARENT.getByName(`${name} too`).facet("same", facet, "put", `a's second ${facet}`);
    }
    for (const facet of facets) {
      const both = (value) => [value, value];
      same(await PARENT.getByName(name).facet("same", facet, "see"), both(`a's ${facet}`));
      same(await PARENT.getByName(`${name} too`).facet("same", facet, "see"), both(`a's second ${facet}`));
      same(await PEER.object(name, "facet", "same", facet, "see"), both(`b's ${facet}`));
    }
    await fails(() => PARENT.getByName(name).facet("same", LONG, "see"), { name: "TypeError", message: /too long/ });
  },
  async dynamic_workers_whose_ids_are_paths({ PARENT, PEER }) {
    const name = `workers ${START}`;
    const ids = [...HOSTILE.filter((id) => id !== ""), LONGEST.worker];
    for (const id of ids) {
      await PARENT.getByName(name).facet(id, `for ${id}`.slice(0, 200), "put", `a's ${id}`);
      await PEER.object(name, "facet", id, `for ${id}`.slice(0, 200), "put", `b's ${id}`);
    }
    for (const id of ids) {
      same((await PARENT.getByName(name).facet(id, `for ${id}`.slice(0, 200), "see"))[0], `a's ${id}`);
      same((await PEER.object(name, "facet", id, `for ${id}`.slice(0, 200), "see"))[0], `b's ${id}`);
    }
    await fails(() => PARENT.getByName(name).facet(LONG, "f", "see"), { name: "TypeError", message: /the limit is 2048/ });
  },
  async two_facets_of_one_parent({ PARENT }) {
    const parent = PARENT.getByName(`facets ${START}`);
    await parent.put("the parent's");
    for (const name of HOSTILE) {
      same(await parent.facet("same", name, "see"), [null, null], JSON.stringify(name));
      same(await parent.facet("same", name, "keys"), [], "not even the parent's keys");
      await parent.facet("same", name, "put", `${name}'s`);
    }
    same(await parent.keys(), ["value"]);
    equal(await parent.see(), "the parent's");
    // A facet's own facets are others than the parent's, whatever is put together from their names.
    for (const name of HOSTILE) {
      same(await parent.facet("same", "a", "under", name, "see"), [null, null], `a/${JSON.stringify(name)}`);
      await parent.facet("same", "a", "under", name, "put", `under a: ${name}`);
    }
    for (const name of HOSTILE) {
      equal((await parent.facet("same", name, "see"))[0], `${name}'s`);
      equal((await parent.facet("same", "a", "under", name, "see"))[0], `under a: ${name}`);
    }
  },
  async an_id_that_a_facet_is_given_opens_nothing({ PARENT }) {
    const [one, two] = [PARENT.getByName(`given 1 ${START}`), PARENT.getByName(`given 2 ${START}`)];
    await one.put("secret");
    await one.facet("same", "f", "put", "secret");
    for (const id of [String(one.id), "f", "../f", "\0", LONGEST.given]) {
      const name = `as ${id.slice(0, 80)}`;
      equal(await two.as(id, name, "whoami"), id);
      same(await two.as(id, name, "see"), [null, null]);
      same(await two.as(id, name, "under", "f", "see"), [null, null]);
    }
    await fails(() => two.as(LONG, "long", "see"), { message: /limit 1024/ });
  },
});

export default cases;
