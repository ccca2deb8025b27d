/**
 * Who is there on other nodes, by what each instance says of itself every second. One that was not heard for three
 * seconds, counted by our own clock's beats, is gone: a turn of our own event loop that takes a minute is one beat.
 * Lists are made anew only when something changed, so that a call costs a look into a map.
 */
import type { Far } from "./beyond.ts";

export const beatMs = 1_000;
const beatsMissed = 3;
/** A cluster is a thousand instances at the very most; beyond this somebody makes them up. */
const mostRows = 10_000;

interface Row {
  readonly far: Far;
  missed: number;
}

const none: readonly Far[] = [];

export class Roster {
  readonly #rows = new Map<string, Row>();
  readonly #lists = new Map<string, readonly Far[]>();
  #all: readonly Far[] | undefined;

  /** True when it was not known. */
  hear(far: Far): boolean {
    const row = this.#rows.get(far.id);
    if (row !== undefined) {
      row.missed = 0;
      return false;
    }
    if (this.#rows.size >= mostRows) return false;
    // It took the place of one that could not say goodbye.
    for (const [id, { far: old }] of this.#rows)
      if (old.node === far.node && old.cage === far.cage && old.process === far.process) this.#rows.delete(id);
    this.#rows.set(far.id, { far, missed: 0 });
    this.#changed();
    return true;
  }

  forget(id: string): void {
    if (this.#rows.delete(id)) this.#changed();
  }

  clear(): void {
    this.#rows.clear();
    this.#changed();
  }

  beat(): void {
    for (const [id, row] of this.#rows) if (++row.missed > beatsMissed) this.forget(id);
  }

  instances(cage?: string): readonly Far[] {
    this.#all ??= [...this.#rows.values()].map(({ far }) => far);
    if (cage === undefined) return this.#all;
    let list = this.#lists.get(cage);
    if (list === undefined) {
      list = this.#all.filter((far) => far.cage === cage);
      // Names that nobody has are asked for too: they must not fill the map.
      if (list.length === 0) return none;
      this.#lists.set(cage, list);
    }
    return list;
  }

  #changed(): void {
    this.#lists.clear();
    this.#all = undefined;
  }
}
