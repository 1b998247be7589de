// lodash-es: 600 small modules; what it sniffs of its surroundings decides how it works.

import _, { chunk, cloneDeep, debounce, groupBy, isEqual, isPlainObject, merge, template, throttle } from "lodash-es";
import get from "lodash-es/get.js";
import { equal, fails, same, sleep } from "../../kit/suite.js";

export const lodash = {
  async lodash_es() {
    same(chunk([1, 2, 3, 4, 5], 2), [[1, 2], [3, 4], [5]]);
    same(groupBy([6.1, 4.2, 6.3], Math.floor), { 4: [4.2], 6: [6.1, 6.3] });
    equal(get({ a: [{ b: { c: 3 } }] }, "a[0].b.c"), 3);
    const original = { when: new Date(5), set: new Set([1]), map: new Map([["k", { deep: true }]]), bytes: new Uint8Array([1, 2]), re: /x/gi };
    const copy = cloneDeep(original);
    equal(isEqual(copy, original), true);
    equal(copy.map.get("k") === original.map.get("k") || copy.bytes === original.bytes, false);
    same(merge({ a: { b: 1 } }, { a: { c: [1] } }), { a: { b: 1, c: [1] } });
    same([isPlainObject({}), isPlainObject(new URL("https://x/")), _.isError(new TypeError("x"))], [true, false, true]);
    same([_.isTypedArray(new Uint8Array()), _.isBuffer(new Uint8Array()), _.isArrayBuffer(new ArrayBuffer(1))], [true, false, true]);
    same(_([3, 1, 2]).sortBy().map((n) => n * 2).filter((n) => n > 2).value(), [4, 6]);
    equal(_.startCase("déjà vu_x"), "Deja Vu X");
  },

  /** `template` makes functions of strings, which Workers may not. */
  async lodash_es_templates_are_refused() {
    await fails(() => template("<%= a %>"), { name: "EvalError", message: /Code generation from strings/ });
  },

  async lodash_es_timers() {
    const calls = [];
    const late = debounce((value) => calls.push(value), 10);
    const rare = throttle((value) => calls.push(value), 1000, { trailing: false });
    late("dropped");
    late("kept");
    rare("first");
    rare("second");
    await sleep(40);
    _.defer(() => calls.push("deferred"));
    await sleep(5);
    same(calls, ["first", "kept", "deferred"]);
  },
};
