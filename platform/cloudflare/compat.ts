// Compatibility flags of this Worker, by their enable names.
//
// The host applies the date and sends the list of what is enabled; nothing here knows dates.
// Behaviours ask `has("flag_name")` where they differ, so a search for the flag finds them all.
//
// Invariant: `start` replaces the set before the first line of user code runs.

const enabled = new Set<string>();

export function enable(flags: readonly string[]): void {
  enabled.clear();
  for (const flag of flags) enabled.add(flag);
}

export function has(flag: string): boolean {
  return enabled.has(flag);
}
