// The difference between two lists of lines, for `util.diff` and what assertions say.
//
// Invariant: what is marked 0 or 1 is the first list, what is marked 0 or -1 the second, in order.

/** `1` is only in the first, `-1` only in the second, `0` in both. */
export type DiffEntry = [kind: -1 | 0 | 1, line: string];

/** Above this many pairs of lines the table would be too large: all of one, then all of the other. */
const PAIRS_MAX = 1_000_000;

export function diffLines(first: readonly string[], second: readonly string[]): DiffEntry[] {
  let start = 0;
  while (start < first.length && start < second.length && first[start] === second[start]) start++;
  let [firstEnd, secondEnd] = [first.length, second.length];
  while (firstEnd > start && secondEnd > start && first[firstEnd - 1] === second[secondEnd - 1]) {
    firstEnd--;
    secondEnd--;
  }
  const same = (line: string): DiffEntry => [0, line];
  const middle = differing(first.slice(start, firstEnd), second.slice(start, secondEnd));
  return [...first.slice(0, start).map(same), ...middle, ...first.slice(firstEnd).map(same)];
}

/** By the longest common sequence: `common[a][b]` is its length for what is left of both. */
function differing(first: readonly string[], second: readonly string[]): DiffEntry[] {
  const only = (kind: -1 | 1) => (line: string): DiffEntry => [kind, line];
  const width = second.length + 1;
  if (first.length * second.length > PAIRS_MAX || first.length === 0 || second.length === 0) {
    return [...first.map(only(1)), ...second.map(only(-1))];
  }
  const common = new Uint32Array((first.length + 1) * width);
  const at = (a: number, b: number): number => common[a * width + b] as number;
  for (let a = first.length - 1; a >= 0; a--) {
    for (let b = second.length - 1; b >= 0; b--) {
      common[a * width + b] = first[a] === second[b] ? at(a + 1, b + 1) + 1 : Math.max(at(a + 1, b), at(a, b + 1));
    }
  }
  const entries: DiffEntry[] = [];
  let [a, b] = [0, 0];
  while (a < first.length && b < second.length) {
    if (first[a] === second[b]) {
      entries.push([0, first[a] as string]);
      a++;
      b++;
    } else if (at(a + 1, b) >= at(a, b + 1)) {
      entries.push([1, first[a++] as string]);
    } else {
      entries.push([-1, second[b++] as string]);
    }
  }
  return [...entries, ...first.slice(a).map(only(1)), ...second.slice(b).map(only(-1))];
}
