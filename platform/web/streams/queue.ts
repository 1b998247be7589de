// First-in first-out lists: a ring, and the standard's queue-with-sizes on top of one.
//
// Invariant: `push` and `shift` take constant time; a ring never holds on to what left it.

const CAPACITY_MIN = 4;

export class Ring<T> {
  #slots: (T | undefined)[] = [];
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(item: T): void {
    const { length } = this.#slots;
    if (this.#length === length) {
      this.#grow(length === 0 ? CAPACITY_MIN : length * 2);
    }
    this.#slots[(this.#head + this.#length) & (this.#slots.length - 1)] = item;
    this.#length++;
  }

  /** The oldest item; the caller knows that there is one. */
  shift(): T {
    const item = this.#slots[this.#head] as T;
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.#length--;
    return item;
  }

  peek(): T {
    return this.#slots[this.#head] as T;
  }

  last(): T {
    return this.#slots[(this.#head + this.#length - 1) & (this.#slots.length - 1)] as T;
  }

  replaceLast(item: T): void {
    this.#slots[(this.#head + this.#length - 1) & (this.#slots.length - 1)] = item;
  }

  clear(): void {
    this.#slots = [];
    this.#head = 0;
    this.#length = 0;
  }

  #grow(capacity: number): void {
    const old = this.#slots;
    const slots = new Array<T | undefined>(capacity).fill(undefined);
    for (let i = 0; i < this.#length; i++) slots[i] = old[(this.#head + i) & (old.length - 1)];
    this.#slots = slots;
    this.#head = 0;
  }
}

/** "Queue-with-sizes": values with their sizes, and the sum of these. */
export class SizedQueue {
  #values = new Ring<unknown>();
  #sizes = new Ring<number>();
  total = 0;

  get length(): number {
    return this.#values.length;
  }

  enqueue(value: unknown, size: number): void {
    // NaN fails the comparison too.
    if (!(size >= 0) || size === Infinity) {
      throw new RangeError("The size of a chunk must be a finite, non-negative number");
    }
    this.#values.push(value);
    this.#sizes.push(size);
    this.total += size;
  }

  dequeue(): unknown {
    const total = this.total - this.#sizes.shift();
    // Sums of fractions may leave less than nothing.
    this.total = total < 0 ? 0 : total;
    return this.#values.shift();
  }

  peek(): unknown {
    return this.#values.peek();
  }

  reset(): void {
    this.#values.clear();
    this.#sizes.clear();
    this.total = 0;
  }
}
