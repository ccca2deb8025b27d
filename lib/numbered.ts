/**
 * What is under way, by its number: calls, requests, listeners. Numbers are given out in ascending order, each once.
 *
 *     const waiting = new Numbered<Waiting>();
 *     waiting.set(7, one);  waiting.get(7);  waiting.delete(7);
 *
 *     7 & mask --> | 8 | . | . | . | . | 5 | 6 | 7 |      open addressing; who left makes room for those behind it
 *
 * Why not a Map: one that is filled and emptied all the time copies itself to a new table again and again, and V8 lets the
 * old table point to the new one (for iterators). Once a table has grown old enough for the old generation, it keeps the
 * next one alive, which keeps the next, and everything that was ever in them is copied by each scavenge and promoted:
 * from then on a call costs twice its time. Here entries are overwritten in place, and who left is gone.
 */

const least = 8;

export class Numbered<T extends object> {
  #numbers = new Float64Array(least);
  #values: (T | undefined)[] = new Array<T | undefined>(least).fill(undefined);
  #mask = least - 1;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(number: number): T | undefined {
    return this.#values[this.#placeOf(number)];
  }

  set(number: number, value: T): void {
    let at = this.#placeOf(number);
    if (this.#values[at] === undefined) {
      // Half empty at least: then a search is over after one step or two.
      if (2 * ++this.#size > this.#mask) {
        this.#grow();
        at = this.#placeOf(number);
      }
      this.#numbers[at] = number;
    }
    this.#values[at] = value;
  }

  /** Answers what it was. */
  delete(number: number): T | undefined {
    const values = this.#values;
    const numbers = this.#numbers;
    const mask = this.#mask;
    let hole = this.#placeOf(number);
    const value = values[hole];
    if (value === undefined) return undefined;
    this.#size--;
    // Whoever stands behind because this place was taken moves up, or a search would end at the hole.
    for (let at = (hole + 1) & mask; values[at] !== undefined; at = (at + 1) & mask) {
      const wanted = (numbers[at] as number) & mask;
      if (((at - wanted) & mask) < ((at - hole) & mask)) continue;
      numbers[hole] = numbers[at] as number;
      values[hole] = values[at];
      hole = at;
    }
    values[hole] = undefined;
    return value;
  }

  clear(): void {
    this.#values.fill(undefined);
    this.#size = 0;
  }

  /** A copy, in ascending order: what is done with each may change who is here. */
  entries(): (readonly [number, T])[] {
    const found: (readonly [number, T])[] = [];
    for (const [at, value] of this.#values.entries())
      if (value !== undefined) found.push([this.#numbers[at] as number, value]);
    return found.sort(([a], [b]) => a - b);
  }

  values(): T[] {
    return this.entries().map(([, value]) => value);
  }

  /** Where it is, or would be. */
  #placeOf(number: number): number {
    const mask = this.#mask;
    let at = number & mask;
    while (this.#values[at] !== undefined && this.#numbers[at] !== number) at = (at + 1) & mask;
    return at;
  }

  #grow(): void {
    const before = this.entries();
    this.#mask = 2 * this.#mask + 1;
    this.#numbers = new Float64Array(this.#mask + 1);
    this.#values = new Array<T | undefined>(this.#mask + 1).fill(undefined);
    for (const [number, value] of before) {
      const at = this.#placeOf(number);
      this.#numbers[at] = number;
      this.#values[at] = value;
    }
  }
}
