// Calls that can never be answered: the handler waits for something that nothing will bring about.
//
// The loop says when it has been silent for a while with calls unanswered and neither a call out of it, a
// timer nor a thread of its own to wait for. What else can wake a Worker is asked here: a stream, a call to
// an object that others hold, the end of a client or of a stub. If there is none of these, every
// unanswered call is failed.
//
// Deliberately careful: a Worker is looked at as a whole, so that one invocation may wait for another. Of
// calls that it makes into itself the latest alone is failed, since that surely waits for no other; what it
// was for may go on.
//
// Invariant: nothing is failed that could still be answered.

import type { CallId } from "../ops.ts";
import { isFacetStart } from "./actors/facets.ts";
import { streamsOpen } from "../web/streams/wire.ts";
import { brokenWatched } from "./caps.ts";
import { failCall, failUnanswered, mayBeCanceled } from "./context.ts";
import { mainRan } from "./entrypoint.ts";
import { isLoaderCallback } from "./loader.ts";
import { exportedObjects } from "./rpc/target.ts";

const HUNG =
  "The Workers runtime canceled this request because it detected that your Worker's code had hung and would never " +
  "generate a response. Refer to: https://developers.cloudflare.com/workers/observability/errors/";

/** `own`: the latest unanswered call that this Worker made into itself. */
export function silence(own: CallId | undefined): void {
  if (!mainRan() || streamsOpen() || mayBeCanceled() || brokenWatched() || exportsCallable()) return;
  const error = new Error(HUNG);
  if (own === undefined) failUnanswered(error);
  else failCall(own, error);
}

function exportsCallable(): boolean {
  for (const object of exportedObjects()) if (!isLoaderCallback(object) && !isFacetStart(object)) return true;
  return false;
}
