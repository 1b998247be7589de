// The directory that relative paths start from: `process.cwd()`.
//
// As in Workers every invocation begins in /bundle, whatever another did, and while a Worker starts it
// has one of its own.
//
// Invariant: it is absolute, without "." and "..".

import { currentInvocation } from "../cloudflare/async-context.ts";

const FIRST = "/bundle";

const directories = new WeakMap<object, string>();
let whileStarting = FIRST;

export function workingDirectory(): string {
  const invocation = currentInvocation();
  return invocation === undefined ? whileStarting : (directories.get(invocation) ?? FIRST);
}

export function setWorkingDirectory(path: string): void {
  const invocation = currentInvocation();
  if (invocation === undefined) whileStarting = path;
  else directories.set(invocation, path);
}
