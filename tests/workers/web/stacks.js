// Stacks as npm code expects them: V8's shape, its hooks, and places in TypeScript sources.

import { equal, fails, matches } from "../kit/suite.js";
import { thrower } from "./thrower.ts";

function named() {
  return new Error("why");
}

function deep() {
  return 1 + deep();
}

/** What packages such as `stack-trace` and `error-stack-parser` look for. */
const V8_LINE = /^ {4}at (?:(?:async )?(?<name>.+?) \()?(?<file>[^()]+):(?<line>\d+):(?<column>\d+)\)?$/;

export const stacks = {
  stack_lines_are_v8s() {
    const lines = named().stack.split("\n");
    equal(lines[0], "Error: why");
    for (const line of lines.slice(1)) matches(line, V8_LINE);
    equal(V8_LINE.exec(lines[1]).groups.name, "named");
    matches(V8_LINE.exec(lines[1]).groups.file, /stacks\.js$/);
  },

  stack_capture_leaves_out_what_is_above() {
    function outer() {
      return inner();
    }
    function inner() {
      const target = {};
      Error.captureStackTrace(target, inner);
      return target.stack;
    }
    matches(outer(), /^(?:Error|\[object Object\])?\n? {4}at outer/);
  },

  stack_limit_is_kept() {
    const before = Error.stackTraceLimit;
    equal(before, 10);
    const recurse = (n) => (n === 0 ? new Error("deep").stack : recurse(n - 1));
    try {
      equal(recurse(20).split("\n").length, 11);
      Error.stackTraceLimit = 2;
      equal(recurse(20).split("\n").length, 3);
      Error.stackTraceLimit = 0;
      equal(recurse(20), "Error: deep");
      Error.stackTraceLimit = Infinity;
      equal(recurse(20).split("\n").length > 20, true);
    } finally {
      Error.stackTraceLimit = before;
    }
  },

  stack_call_sites_are_prepared() {
    Error.prepareStackTrace = (error, sites) => sites;
    try {
      const [site] = named().stack;
      equal(site.getFunctionName(), "named");
      matches(site.getFileName(), /stacks\.js$/);
      equal(typeof site.getLineNumber(), "number");
      equal(typeof site.getColumnNumber(), "number");
      equal(site.isNative(), false);
      equal(site.isToplevel(), false);
      matches(String(site), /^named \(.*stacks\.js:\d+:\d+\)$/);
    } finally {
      Error.prepareStackTrace = undefined;
    }
  },

  async stack_places_are_those_of_typescript() {
    const error = await fails(() => thrower("typed"), { message: /typed/ });
    matches(error.stack, /at thrower \([^)]*thrower\.ts:9:\d+\)/);
  },

  async stack_of_endless_recursion_is_a_range_error() {
    const error = await fails(() => deep(), { name: "RangeError", message: /^Maximum call stack size exceeded$/ });
    equal(error instanceof RangeError, true);
    equal(Object.getPrototypeOf(error), RangeError.prototype);
  },

  async stack_too_large_allocations_are_range_errors() {
    await fails(() => new Array(-1), { name: "RangeError" });
    await fails(() => "x".repeat(2 ** 30), { name: "RangeError" });
  },
};
