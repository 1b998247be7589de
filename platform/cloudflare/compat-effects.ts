// Globals and members that a Worker of an older date does not have.
//
// Behaviour that differs by a flag asks `has()` where it stands; here is what differs by being there at
// all. The zygote starts a rehearsal with all of these flags on, so that in a fork there is something
// to take away only for Workers that ask for it.
//
// Invariant: nothing is ever put back; a guest serves one Worker.

import { has } from "./compat.ts";
import { Headers } from "../web/headers.ts";
import { Navigator } from "../web/navigator.ts";
import { keepToStringTags } from "../web/webidl.ts";

export function applyFlags(): void {
  keepToStringTags(has("set_tostring_tag"));
  if (!has("global_navigator")) remove(globalThis, "navigator", "Navigator");
  if (!has("enable_navigator_language")) remove(Navigator.prototype, "language");
  if (!has("expose_global_message_channel")) remove(globalThis, "MessageChannel", "MessagePort");
  if (!has("http_headers_getsetcookie")) remove(Headers.prototype, "getSetCookie");
}

function remove(holder: object, ...names: string[]): void {
  for (const name of names) Reflect.deleteProperty(holder, name);
}
