// Workers KV, a case each; `tests/kv.rs` adds what needs a second host.

import { equal, fails, same, suite } from "../kit/suite.js";

const bytes = (...list) => new Uint8Array(list);
const soon = () => Math.floor(Date.now() / 1000) + 3600;

export default suite({
  async values_come_in_every_form({ KV }) {
    await KV.put("json", JSON.stringify({ a: [1, "ü"] }));
    equal(await KV.get("json"), '{"a":[1,"ü"]}');
    same(await KV.get("json", "json"), { a: [1, "ü"] });
    equal((await KV.get("json", { type: "arrayBuffer" })).byteLength, 14);
    equal(await new Response(await KV.get("json", "stream")).text(), '{"a":[1,"ü"]}');
    equal(await KV.get("never"), null);
    await fails(() => KV.get("json", "xml"), { name: "TypeError", message: /Unknown response type/ });
  },
  async what_expires_is_gone({ KV }) {
    // The shortest time that is allowed.
    await KV.put("expires:soon", "v", { expirationTtl: 60 });
    await KV.put("expires:never", "v");
    equal(await KV.get("expires:soon"), "v");
    await new Promise((done) => setTimeout(done, 61_000));
    equal(await KV.get("expires:soon"), null);
    same((await KV.list({ prefix: "expires:" })).keys, [{ name: "expires:never" }]);
  },
  async values_go_in_every_form({ KV }) {
    await KV.put("buffer", bytes(0, 255).buffer);
    same([...new Uint8Array(await KV.get("buffer", "arrayBuffer"))], [0, 255]);
    await KV.put("view", bytes(1, 2, 3).subarray(1));
    same([...new Uint8Array(await KV.get("view", "arrayBuffer"))], [2, 3]);
    await KV.put("stream", new Response("x".repeat(300_000)).body);
    equal((await KV.get("stream")).length, 300_000);
    await KV.put("empty", "");
    equal(await KV.get("empty"), "");
    await KV.put("number", 42);
    equal(await KV.get("number"), "42");
    await fails(() => KV.put("object", {}), { name: "TypeError", message: /accepts only strings/ });
  },
  async a_put_replaces_and_a_delete_removes({ KV }) {
    await KV.put("k", "1", { metadata: { m: 1 } });
    await KV.put("k", "2");
    same(await KV.getWithMetadata("k"), { value: "2", metadata: null, cacheStatus: null });
    await KV.delete("k");
    await KV.delete("k");
    equal(await KV.get("k"), null);
  },
  async metadata_stays_with_its_key({ KV }) {
    await KV.put("meta", "v", { metadata: { tag: "ü\n", list: [1] } });
    const { value, metadata } = await KV.getWithMetadata("meta", "text");
    equal(value, "v");
    same(metadata, { tag: "ü\n", list: [1] });
    same(await KV.getWithMetadata("never"), { value: null, metadata: null, cacheStatus: null });
  },
  async keys_are_any_text({ KV }) {
    for (const key of ["../x", "a/b?c#d", "%2e", " ", "emoji 🎉", "nul \0", "x".repeat(512)]) {
      await KV.put(key, `value of ${key}`);
      equal(await KV.get(key), `value of ${key}`, JSON.stringify(key));
    }
    await fails(() => KV.get(""), { name: "TypeError", message: /cannot be empty/ });
    await fails(() => KV.get(".."), { name: "TypeError", message: /not allowed as a key name/ });
    await fails(() => KV.put("x".repeat(513), ""), { message: /KV PUT failed: 414 .*513 exceeds key length limit of 512/ });
  },
  async limits_are_errors_with_their_status({ KV }) {
    await fails(() => KV.put("k", "v", { expirationTtl: 59 }), { message: /KV PUT failed: 400 Invalid expiration_ttl of 59/ });
    await fails(() => KV.put("k", "v", { expiration: 1 }), { message: /KV PUT failed: 400 Invalid expiration of 1\b/ });
    await fails(() => KV.put("k", "v", { metadata: "x".repeat(1100) }), { message: /413 Metadata length of 1102/ });
    await fails(() => KV.put("k", new Uint8Array(25 * 1024 * 1024 + 1)), { message: /413 Value length exceeds/ });
    await fails(() => KV.list({ limit: 1001 }), { message: /400 Invalid key_count_limit of 1001/ });
    await fails(() => KV.list({ cursor: "!" }), { message: /400 Invalid cursor/ });
  },
  async lists_go_by_prefix_limit_and_cursor({ KV }) {
    const expiration = soon();
    for (const i of [3, 1, 2]) await KV.put(`list:${i}`, "", i === 2 ? { metadata: { i }, expiration } : {});
    const first = await KV.list({ prefix: "list:", limit: 2 });
    same(first.keys, [{ name: "list:1" }, { name: "list:2", expiration, metadata: { i: 2 } }]);
    equal(first.list_complete, false);
    const rest = await KV.list({ prefix: "list:", cursor: first.cursor });
    same(rest.keys, [{ name: "list:3" }]);
    equal(rest.list_complete, true);
    equal("cursor" in rest, false);
    same((await KV.list({ prefix: "none:" })).keys, []);
  },
  async many_keys_are_asked_at_once({ KV }) {
    await KV.put("bulk:a", "1");
    await KV.put("bulk:b", "2", { metadata: "m" });
    same([...(await KV.get(["bulk:a", "bulk:c", "bulk:b"]))], [["bulk:a", "1"], ["bulk:c", null], ["bulk:b", "2"]]);
    same([...(await KV.get(["bulk:b"], "json"))], [["bulk:b", 2]]);
    same([...(await KV.getWithMetadata(["bulk:b"]))], [["bulk:b", { value: "2", metadata: "m" }]]);
    await fails(() => KV.get([]), { message: /GET_BULK failed: 400/ });
    await fails(() => KV.get(Array(101).fill("k")), { message: /maximum of 100 keys/ });
    await fails(() => KV.get(["bulk:a"], "stream"), { message: /not a valid type/ });
  },
  async bindings_of_one_id_share_and_others_do_not({ KV, SAME, OTHER }) {
    await KV.put("shared", "yes");
    equal(await SAME.get("shared"), "yes");
    equal(await OTHER.get("shared"), null);
  },
});
