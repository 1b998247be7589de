// The classes that users extend for an export to be more than an object of handlers.
//
// They hold `ctx` and `env` as own properties, which keeps both out of reach of RPC: of a class
// instance only the prototype's members are public.
//
// Invariant: constructed with `(ctx, env)` and nothing else.

class Entrypoint {
  protected ctx: unknown;
  protected env: unknown;

  constructor(ctx: unknown, env: unknown) {
    this.ctx = ctx;
    this.env = env;
  }
}

export class WorkerEntrypoint extends Entrypoint {}
export class DurableObject extends Entrypoint {}
export class WorkflowEntrypoint extends Entrypoint {}

for (const made of [WorkerEntrypoint, DurableObject, WorkflowEntrypoint]) {
  Object.defineProperty(made.prototype, Symbol.toStringTag, { value: made.name, configurable: true });
}
