/**
 * A line of those who wait, earliest deadline first; of equal deadlines, who came first.
 *
 *     const line = new Line<Waiter>();
 *     line.push(waiter);  line.pop();  line.remove(waiter);
 *
 * A binary heap in which each knows its place, so that leaving costs as little as joining: when a server stalls, all
 * that wait give up in one tick, and a search for each would be a stall of its own.
 */
export interface Placed {
  readonly deadline: number;
  /** Kept by the line: where it stands, -1 when it does not. */
  place: number;
  /** Kept by the line: the order of arrival. */
  order: number;
}

export class Line<T extends Placed> {
  readonly #heap: T[] = [];
  #arrived = 0;

  get size(): number {
    return this.#heap.length;
  }

  get first(): T | undefined {
    return this.#heap[0];
  }

  push(one: T): void {
    one.order = ++this.#arrived;
    this.#rise(one, this.#heap.length);
  }

  pop(): T | undefined {
    const first = this.#heap[0];
    if (first !== undefined) this.remove(first);
    return first;
  }

  /** False when it does not stand here. */
  remove(one: T): boolean {
    const at = one.place;
    if (this.#heap[at] !== one) return false;
    one.place = -1;
    const last = this.#heap.pop() as T;
    if (last === one) return true;
    const parent = this.#heap[(at - 1) >> 1];
    if (at > 0 && parent !== undefined && before(last, parent)) this.#rise(last, at);
    else this.#sink(last, at);
    return true;
  }

  /** Who would be served last. Looks at the half that has nobody behind it. */
  last(): T | undefined {
    const heap = this.#heap;
    let last = heap[heap.length - 1];
    for (let at = heap.length >> 1; at < heap.length; at++)
      if (last !== undefined && before(last, heap[at] as T)) last = heap[at];
    return last;
  }

  /** How many stand before one with this deadline would, counted to `enough`. */
  ahead(deadline: number, enough: number): number {
    let count = 0;
    const look = [0];
    while (count < enough) {
      const at = look.pop();
      if (at === undefined) break;
      const one = this.#heap[at];
      if (one === undefined || one.deadline > deadline) continue;
      count++;
      look.push(2 * at + 1, 2 * at + 2);
    }
    return count;
  }

  #rise(one: T, at: number): void {
    const heap = this.#heap;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up] as T;
      if (!before(one, parent)) break;
      heap[at] = parent;
      parent.place = at;
      at = up;
    }
    heap[at] = one;
    one.place = at;
  }

  #sink(one: T, at: number): void {
    const heap = this.#heap;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && before(heap[down + 1] as T, heap[down] as T)) down++;
      const child = heap[down] as T;
      if (!before(child, one)) break;
      heap[at] = child;
      child.place = at;
      at = down;
    }
    heap[at] = one;
    one.place = at;
  }
}

const before = (a: Placed, b: Placed): boolean =>
  a.deadline < b.deadline || (a.deadline === b.deadline && a.order < b.order);
