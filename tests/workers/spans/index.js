// What `spanned` does, as a streaming tail hears of it: names and attributes are workerd's.

import { equal, matches, same, suite } from "../kit/suite.js";

/** All events, and all trace items, in the order in which they came. */
const events = [];
const items = [];

async function until(find, what) {
  for (let tries = 0; tries < 500; tries++) {
    const found = find();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`${what} did not come: ${JSON.stringify(events.map(({ event }) => [event.type, event.name ?? event.info?.type]))}`);
}

const onsetOf = (is) => events.find(({ event }) => event.type === "onset" && is(event));
const endOf = (id) => events.find((one) => one.invocationId === id && one.event.type === "outcome");

/** Spans of the invocation that begins with `onset`, in the order in which they began. */
async function spansFrom(onset) {
  const { invocationId: id } = onset;
  await until(() => endOf(id), "the outcome");
  const spans = new Map();
  for (const { invocationId, spanContext, event } of events) {
    if (invocationId !== id) continue;
    const span = spans.get(spanContext.spanId);
    if (event.type === "spanOpen") {
      spans.set(event.spanId, { name: event.name, id: event.spanId, parent: spanContext.spanId, told: {}, ends: 0 });
    } else if (event.type === "spanClose") {
      equal(span.ends++, 0, "a span ends once");
    } else if (event.type === "attributes" && span !== undefined) {
      for (const { name, value } of event.info) span.told[name] = typeof value === "bigint" ? `${value}n` : value;
    }
  }
  const list = [...spans.values()];
  for (const span of list) equal(span.ends, 1, `ends of ${span.name}`);
  return list;
}

async function told(env, path) {
  const url = `https://spanned/${path}`;
  const answer = await env.SPANNED.fetch(url);
  const text = await answer.text();
  equal(answer.status, 200, text);
  const onset = await until(() => onsetOf(({ info }) => info.url === url), "the onset");
  return { spans: await spansFrom(onset), text, onset };
}

const names = (spans) => spans.map(({ name }) => name);

/** The onset of an RPC call of an object, by its method. */
async function ofMethod(method) {
  const named = ({ event }) => event.type === "attributes" && event.info[0].name === "jsrpc.method" && event.info[0].value === method;
  const { invocationId } = await until(() => events.find(named), method);
  return events.find((one) => one.invocationId === invocationId && one.event.type === "onset");
}

const KV = { "db.system.name": "cloudflare-kv" };
const KV_BINDING = { "cloudflare.binding.name": "KV", "cloudflare.binding.type": "KV" };
const keys = (text, count) => ({ "cloudflare.kv.query.keys": text, "cloudflare.kv.query.keys.count": count });

const cases = {
  async kv_is_told_by_operation_and_keys(env) {
    const { spans, onset } = await told(env, "kv");
    same(names(spans), ["kv_put", "kv_get", "kv_getWithMetadata", "kv_get", "kv_list", "kv_delete", "kv_get"]);
    same(new Set(spans.map(({ parent }) => parent)).size, 1);
    equal(spans[0].parent, onset.event.spanId);
    const [put, get, both, bulk, list, gone, missing] = spans.map((span) => span.told);
    same(put, {
      ...KV, "db.operation.name": "put", ...KV_BINDING, ...keys("a", "1n"), "cloudflare.kv.query.expiration_ttl": "600n",
      "cloudflare.kv.query.metadata": true, "cloudflare.kv.query.value_type": "text", "cloudflare.kv.query.payload.size": "3n",
    });
    const found = {
      "cloudflare.kv.response.metadata": true, "cloudflare.kv.response.size": "3n", "cloudflare.kv.response.returned_rows": "1n",
    };
    same(get, { ...KV, "db.operation.name": "get", ...KV_BINDING, ...keys("a", "1n"), ...found });
    same(both, {
      ...KV, "db.operation.name": "get", ...KV_BINDING, ...keys("a", "1n"), "cloudflare.kv.query.type": "text",
      "cloudflare.kv.query.cache_ttl": "60n", ...found,
    });
    same([bulk["cloudflare.kv.query.keys"], bulk["cloudflare.kv.query.keys.count"], bulk["cloudflare.kv.response.returned_rows"]], ["a, b", "2n", "2n"]);
    same([list["cloudflare.kv.query.prefix"], list["cloudflare.kv.query.limit"], list["cloudflare.kv.response.list_complete"]], ["a", "10n", true]);
    same(list["cloudflare.kv.response.returned_rows"], "1n");
    same(gone, { ...KV, "db.operation.name": "delete", ...KV_BINDING, ...keys("a", "1n") });
    same(missing["cloudflare.kv.response.returned_rows"], undefined);
  },

  async a_failed_operation_ends_its_span(env) {
    // `spansFrom` holds that each of them ended.
    same(names((await told(env, "failing")).spans), ["kv_get", "kv_put", "r2_get"]);
  },

  async r2_is_told_by_operation_and_object(env) {
    const { spans } = await told(env, "r2");
    same(names(spans), ["r2_put", "r2_head", "r2_get", "r2_get", "r2_list", "r2_delete"]);
    const [put, head, get, missing, list, gone] = spans.map((span) => span.told);
    const of = (operation) => ({
      "cloudflare.binding.type": "r2", "cloudflare.binding.name": "BUCKET", "cloudflare.r2.operation": operation,
    });
    const { "cloudflare.r2.response.etag": etag, "cloudflare.r2.response.uploaded": uploaded } = put;
    const object = {
      "cloudflare.r2.response.success": true, "cloudflare.r2.response.etag": etag, "cloudflare.r2.response.size": 10,
      "cloudflare.r2.response.uploaded": uploaded, "cloudflare.r2.response.checksum.md5": etag,
      "cloudflare.r2.response.storage_class": "Standard", "cloudflare.r2.response.content_type": "text/x",
      "cloudflare.r2.response.cache_control": "no-store", "cloudflare.r2.response.custom_metadata": true,
    };
    same(put, {
      ...of("PutObject"), "cloudflare.r2.request.key": "o/1", "cloudflare.r2.request.custom_metadata": true,
      "cloudflare.r2.request.http_metadata.content_type": "text/x", "cloudflare.r2.request.http_metadata.cache_control": "no-store",
      "cloudflare.r2.request.size": "10n", ...object,
    });
    matches(uploaded, /^\d{4}-\d\d-\d\dT.*Z$/);
    same(head, { ...of("HeadObject"), "cloudflare.r2.request.key": "o/1", ...object });
    same(get, {
      ...of("GetObject"), "cloudflare.r2.request.key": "o/1", "cloudflare.r2.request.only_if.etag_matches": etag,
      "cloudflare.r2.request.range.offset": "2n", "cloudflare.r2.request.range.length": "3n", ...object,
    });
    same([missing["cloudflare.r2.response.success"], missing["cloudflare.r2.error.code"]], [false, "10007n"]);
    equal(missing["error.type"], missing["cloudflare.r2.error.message"]);
    same(list, {
      ...of("ListObjects"), "cloudflare.r2.request.limit": "5n", "cloudflare.r2.request.prefix": "o/",
      "cloudflare.r2.request.include.http_metadata": true, "cloudflare.r2.response.success": true,
      "cloudflare.r2.response.returned_objects": "1n", "cloudflare.r2.response.delimited_prefixes": "0n",
      "cloudflare.r2.response.truncated": false,
    });
    same(gone, { ...of("DeleteObject"), "cloudflare.r2.request.keys": "o/1, o/2", "cloudflare.r2.response.success": true });
  },

  async uploads_to_r2_are_told_part_by_part(env) {
    const { spans } = await told(env, "upload");
    same(names(spans), [
      "r2_createMultipartUpload", "r2_uploadPart", "r2_completeMultipartUpload", "r2_createMultipartUpload", "r2_abortMultipartUpload",
    ]);
    const [made, part, complete, , aborted] = spans.map((span) => span.told);
    const upload = made["cloudflare.r2.response.upload_id"];
    same([made["cloudflare.r2.request.key"], made["cloudflare.r2.request.custom_metadata"]], ["big", true]);
    same([part["cloudflare.r2.request.upload_id"], part["cloudflare.r2.request.part_number"], part["cloudflare.r2.request.size"]], [upload, "1n", "7n"]);
    same([complete["cloudflare.r2.request.upload_id"], complete["cloudflare.r2.request.uploaded_parts"]], [upload, "1"]);
    same([complete["cloudflare.r2.response.size"], aborted["cloudflare.r2.response.success"]], [7, true]);
  },

  async d1_is_told_by_operation_and_text(env) {
    const { spans } = await told(env, "d1");
    same(names(spans), [
      "d1_exec", "d1_run", "d1_batch", "d1_first", "d1_all", "d1_all", "d1_first", "d1_all", "d1_exec",
    ]);
    const [exec, run, batch, first, raw, all, column, failed, line] = spans.map((span) => span.told);
    const of = (operation, sql) => ({
      "db.system.name": "cloudflare-d1", "db.operation.name": operation, "db.query.text": sql, "cloudflare.binding.type": "D1",
    });
    const begins = (told, expected) => same(Object.fromEntries(Object.entries(told).slice(0, 4)), expected);
    begins(exec, of("exec", "CREATE TABLE IF NOT EXISTS t (a)"));
    begins(run, of("run", "INSERT INTO t VALUES (?)"));
    same([run["cloudflare.d1.response.changes"], run["cloudflare.d1.response.changed_db"], run["cloudflare.d1.response.served_by_primary"]], [1, true, true]);
    begins(batch, of("batch", "SELECT 1\nINSERT INTO t VALUES (2), (3)"));
    same([batch["db.operation.batch.size"], batch["cloudflare.d1.response.rows_written"], batch["cloudflare.d1.query.bookmark"]], [2, 2, undefined]);
    begins(first, of("first", "SELECT a FROM t LIMIT 1"));
    equal(first["cloudflare.d1.query.bookmark"], batch["cloudflare.d1.response.bookmark"]);
    same([raw["db.operation.name"], all["db.operation.name"], all["cloudflare.d1.response.rows_read"] >= 3], ["raw", "all", true]);
    equal(column["error.type"], "Column not found");
    equal(failed["error.type"], 'near "nonsense": syntax error at offset 0: SQLITE_ERROR');
    equal(line["error.type"], "Error in line 1");
  },

  async the_cache_is_told_by_url_and_status(env) {
    const { spans } = await told(env, "cache");
    same(names(spans), ["cache_match", "cache_put", "cache_match", "cache_delete", "cache_match"]);
    const [missed, put, hit, gone, never] = spans.map((span) => span.told);
    const key = { "cache.request.url": "https://cache.example/x", "cache.request.method": "GET" };
    same([missed["cache.request.header.if_none_match"], missed["cache.response.cache_status"], missed["cache.response.success"]], ['"other"', "MISS", false]);
    same(put, {
      ...key, "cache.request.payload.status_code": "200n", "cache.request.payload.header.cache_control": "max-age=60",
      "cache.request.payload.header.etag": '"e"', "cache.request.payload.size": "4n", "cache.response.success": true,
    });
    same(hit, {
      ...key, "cache.response.status_code": "200n", "cache.response.body.size": "4n", "cache.response.cache_status": "HIT",
      "cache.response.success": true,
    });
    same(gone, { "cache.request.ignore_method": true, ...key, "cache.response.status_code": "200n", "cache.response.success": true });
    same(never, { ...key, "cache.request.method": "POST" });
  },

  async queues_are_told_at_both_ends(env) {
    const { spans } = await told(env, "queue");
    same(spans.map(({ name, told: attributes }) => [name, attributes]), [["queue_send", {}], ["queue_metrics", {}], ["queue_send", {}]]);
    const batches = () => items.filter(({ event }) => event?.queue === "spans").map(({ event }) => event.batchSize);
    await until(() => (batches().reduce((sum, size) => sum + size, 0) === 3 ? true : undefined), "the batches");
    const { event } = await until(() => onsetOf(({ info }) => info.queueName === "spans"), "the batch");
    same(event.info, { type: "queue", queueName: "spans", batchSize: batches()[0] });
  },

  async an_object_is_told_by_its_id(env) {
    const { spans, text, onset } = await told(env, "object");
    const expected = ["durable_object_subrequest", { objectId: text }];
    same(spans.map(({ name, told: attributes }) => [name, attributes]), [expected, expected]);
    // What the object does is of the same trace, inside the span that it was called from.
    const called = await ofMethod("ping");
    same([called.spanContext.traceId, called.spanContext.spanId], [onset.spanContext.traceId, spans[0].id]);
    same([called.event.executionModel, called.event.durableObjectId], ["durableObject", text]);
  },

  async storage_of_an_object_is_told(env) {
    await told(env, "storage");
    const spans = await spansFrom(await ofMethod("storage"));
    same(names(spans), [
      "put", "get", "list", "transaction", "delete", "setAlarm", "getAlarm", "deleteAlarm", "sync", "getCurrentBookmark", "put", "deleteAll",
    ].map((name) => `durable_object_storage_${name}`));
    same(spans.map((span) => Object.keys(span.told).length).filter((count) => count > 0), []);
  },

  async sql_and_its_keys_are_told_with_their_rows(env) {
    await told(env, "sql");
    const spans = await spansFrom(await ofMethod("sql"));
    same(names(spans), [
      "exec", "exec", "exec", "exec", "ingest", "getDatabaseSize", "kv_put", "kv_get", "kv_list", "kv_delete", "kv_delete",
    ].map((name) => `durable_object_storage_${name}`));
    const [, insert, select, wrong, ingest, size, put, get, list, deleted, again] = spans.map((span) => span.told);
    const sql = (operation) => ({ "db.system.name": "cloudflare-durable-object-sql", "db.operation.name": operation });
    const place = "cloudflare.durable_object";
    same(insert, {
      ...sql("exec"), "db.query.text": "INSERT INTO t VALUES (?), (?)", [`${place}.query.bindings`]: "2n",
      [`${place}.response.rows_read`]: insert[`${place}.response.rows_read`], [`${place}.response.rows_written`]: "2n",
    });
    same([select[`${place}.query.bindings`], select[`${place}.response.rows_read`], select[`${place}.response.rows_written`]], ["0n", "2n", "0n"]);
    same(wrong, { ...sql("exec"), "db.query.text": "SELECT nothing FROM nowhere", [`${place}.query.bindings`]: "0n" });
    same([ingest[`${place}.response.rows_written`], ingest[`${place}.response.statement_count`]], ["2n", "2n"]);
    matches(size[`${place}.response.db_size`], /^[1-9]\d*n$/);
    const key = { [`${place}.kv.query.keys`]: "k", [`${place}.kv.query.keys.count`]: "1n" };
    same(put, { ...sql("put"), ...key });
    same(get, { ...sql("get"), ...key });
    same(list, { ...sql("list"), [`${place}.kv.query.prefix`]: "k", [`${place}.kv.query.reverse`]: true, [`${place}.kv.query.limit`]: "2n" });
    same(deleted, { ...sql("delete"), ...key, [`${place}.kv.response.deleted_count`]: "1n" });
    same(again[`${place}.kv.response.deleted_count`], "0n");
  },

  async a_facet_is_told_by_its_name(env) {
    await told(env, "facet");
    const [span] = await spansFrom(await ofMethod("facet"));
    same([span.name, span.told], ["facet_subrequest", { facet_name: "part" }]);
  },

  async a_span_is_inside_the_one_around_it(env) {
    const { spans, onset } = await told(env, "nested");
    same(names(spans), ["outer", "kv_get", "r2_head", "kv_get"]);
    const [outer, kv, r2, after] = spans;
    same([outer.parent, kv.parent, r2.parent, after.parent], [onset.event.spanId, outer.id, outer.id, onset.event.spanId]);
  },

  async services_are_told_by_what_they_are_asked_for(env) {
    const { spans } = await told(env, "services");
    same(names(spans), ["fetch", "scheduled", "queue", "jsRpcSession", "fetch"]);
    const { told: fetched } = spans[0];
    same(["http.request.method", "url.full", "http.request.header.content-type"].map((name) => fetched[name]), ["POST", "https://other/p", "t/x"]);
    same(["http.request.body.size", "http.response.status_code", "http.response.body.size", "cloudflare.ray_id"].map((name) => fetched[name]), ["5n", "202n", "3n", "ray"]);
    same([spans[1].told, spans[2].told, spans[4].told["http.response.status_code"]], [{}, {}, undefined]);
    const { event } = await until(() => onsetOf(({ info }) => info.queueName === "by hand"), "the batch by hand");
    equal(event.info.batchSize, 2);
  },

  async hibernating_sockets_are_told_as_events(env) {
    const { webSocket } = await env.SPANNED.fetch("https://spanned/socket", { headers: { upgrade: "websocket" } });
    webSocket.accept();
    const answered = new Promise((resolve) => webSocket.addEventListener("message", resolve, { once: true }));
    webSocket.send("hello");
    await answered;
    webSocket.close(4001, "enough");
    const of = (type) => items.find(({ event }) => event?.getWebSocketEvent?.webSocketEventType === type);
    const message = await until(() => of("message"), "the message");
    same([message.event.getWebSocketEvent, message.executionModel], [{ webSocketEventType: "message" }, "durableObject"]);
    same((await until(() => of("close"), "the end")).event.getWebSocketEvent, { webSocketEventType: "close", code: 4001, wasClean: true });
    const onset = (type) => onsetOf(({ info }) => info.type === "hibernatableWebSocket" && info.info.type === type);
    same((await until(() => onset("message"), "its onset")).event.info, { type: "hibernatableWebSocket", info: { type: "message" } });
    same((await until(() => onset("close"), "its onset")).event.info, {
      type: "hibernatableWebSocket", info: { type: "close", code: 4001, wasClean: true },
    });
  },

  async a_span_that_nobody_ends_ends_with_its_invocation(env) {
    same(names((await told(env, "open")).spans), ["never ended"]);
  },
};

const { fetch } = suite(cases);
export default {
  fetch,
  tail(got) {
    items.push(...got);
  },
  tailStream(onset) {
    events.push(onset);
    return (event) => void events.push(event);
  },
};
