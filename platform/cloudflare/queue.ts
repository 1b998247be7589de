// Outgoing calls that wait for the end of the current microtask.
//
// A call is sent one microtask late, because only then is it known whether its result is called
// again before it arrives: `a.b().c()` asks for a slot that names the future result, `await a.b()`
// does not, and a slot costs both sides work. Whatever else leaves this guest and must not
// overtake a call flushes the queue first.
//
// Invariant: calls leave in the order in which they were made.

const queue: (() => void)[] = [];
/** How many of the queue a flush under way has sent. */
let sent = 0;
const SOON = Promise.resolve();

export function queueCall(send: () => void): void {
  if (queue.push(send) === 1) void SOON.then(flushCalls);
}

/** Sends what waits. Sending one call may flush again, so each leaves the queue before it goes. */
export function flushCalls(): void {
  while (queue.length > sent) (queue[sent++] as () => void)();
  queue.length = 0;
  sent = 0;
}
