/**
 * What a cage holds open for its generations: resources and interfaces, counted. A generation takes those that its
 * configuration names; equal configuration is the same holding, so a reload keeps it. New ones open before the swap, old
 * ones close when the last generation that named them is gone; a candidate that is refused gives back what it took.
 *
 *     const holding = await holdings.take(key, open);   ...   holding.release();
 */
export interface Holding<T> {
  readonly value: T;
  release(): Promise<void>;
}

interface Row<T> {
  readonly value: Promise<T>;
  users: number;
}

export class Holdings<T> {
  readonly #rows = new Map<string, Row<T>>();
  readonly #close: (value: T) => Promise<void>;

  constructor(close: (value: T) => Promise<void>) {
    this.#close = close;
  }

  async take(key: string, open: () => Promise<T>): Promise<Holding<T>> {
    let row = this.#rows.get(key);
    if (row === undefined) {
      row = { value: open(), users: 0 };
      this.#rows.set(key, row);
    }
    row.users++;
    const held = row;
    try {
      const value = await held.value;
      let released = false;
      return {
        value,
        release: async () => {
          if (released) return;
          released = true;
          if (--held.users > 0) return;
          this.#rows.delete(key);
          await this.#close(value);
        },
      };
    } catch (error) {
      // Forgotten, so that the next save tries again.
      if (this.#rows.get(key) === held) this.#rows.delete(key);
      throw error;
    }
  }

  async values(): Promise<T[]> {
    const settled = await Promise.allSettled([...this.#rows.values()].map((row) => row.value));
    return settled.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  }
}
