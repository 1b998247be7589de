// Calls the Worker beside this file over HTTP batches and over a WebSocket: `node client.mjs URL`. Prints
// `ok`.

import assert from "node:assert/strict";
import { newHttpBatchRpcSession, newWebSocketRpcSession } from "capnweb";

const [url] = process.argv.slice(2);
const session = () => newHttpBatchRpcSession(url);

// Calls in one batch are one request, and what one returns may be given to the next before it is here.
{
  const api = session();
  const user = api.authenticate("secret");
  const profile = api.profile(user.id);
  const [who, what, greeting, requests] = await Promise.all([user, profile, api.hello(user.name), api.requests()]);
  assert.deepEqual(who, { id: "u1", name: "Ada", born: new Date(0) });
  assert.equal(what.bio, "the bio of u1");
  assert.deepEqual([...what.bytes], [1, 2, 255]);
  assert.equal(what.big, 2n ** 70n);
  assert.equal(greeting, "Hello, Ada!");
  assert.equal(requests, 1);
}

// Objects by reference: methods and getters of what a call returned.
{
  const api = session();
  const counter = api.counter(40);
  const [first, second, value] = await Promise.all([counter.increment(), counter.increment(), counter.value]);
  assert.deepEqual([first, second, value], [41, 42, 42]);
}

// `map()` runs on the server.
{
  const api = session();
  const bios = await api.friends().map((id) => api.profile(id).bio);
  assert.deepEqual(bios, ["the bio of u1", "the bio of u2", "the bio of u3"]);
}

// Errors arrive with their type and message, also through a pipeline, and spoil nothing else.
{
  const api = session();
  const user = api.authenticate("wrong");
  const [failed, through, fine] = await Promise.allSettled([user, api.hello(user.name), api.hello("you")]);
  assert.equal(failed.status, "rejected");
  assert.equal(failed.reason.name, "RangeError");
  assert.match(failed.reason.message, /no user has the token wrong/);
  assert.equal(through.status, "rejected");
  assert.deepEqual(fine, { status: "fulfilled", value: "Hello, you!" });
}

// Only what is public can be called.
{
  const api = session();
  const missing = await Promise.allSettled([api.hidden(), api.toString2()]);
  assert.ok(missing.every(({ status }) => status === "rejected"));
}

// One WebSocket carries calls both ways for as long as it is open.
{
  const api = newWebSocketRpcSession(url.replace(/^http/, "ws"));
  assert.equal(await api.hello("you"), "Hello, you!");
  const profile = await api.profile((await api.authenticate("secret")).id);
  assert.deepEqual([profile.bio, [...profile.bytes], profile.big], ["the bio of u1", [1, 2, 255], 2n ** 70n]);
  const counter = await api.counter(40);
  assert.equal(await counter.increment(), 41);
  assert.equal(await api.callBack((value) => value * 2), 42);
  const large = "x".repeat(1_000_000);
  assert.equal((await api.hello(large)).length, large.length + 8);
  await assert.rejects(async () => await api.authenticate("wrong"), { name: "RangeError" });
  counter[Symbol.dispose]();
  api[Symbol.dispose]();
}

console.log("ok");
