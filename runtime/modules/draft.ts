/**
 * What the next generation would consist of, found out while its batch is still open: files read and compiled, the graph
 * surveyed, nothing run. A later event of the batch makes another one; the pass uses the last if it is of the same files.
 *
 *     draft = new Draft(files, current.id, (made) => plan(files, made));   ...   draft.fits(pending, current.id)
 */
import type { Source } from "./source.ts";

export class Draft<P> {
  readonly plan: Promise<P>;
  readonly #key: string;
  readonly #made: Source[] = [];

  constructor(files: ReadonlySet<string>, base: number, plan: (made: Source[]) => Promise<P>) {
    this.#key = keyOf(files, base);
    this.plan = plan(this.#made);
    // Read when it is used, if ever.
    this.plan.catch(() => {});
  }

  fits(files: ReadonlySet<string>, base: number | undefined): boolean {
    return this.#key === keyOf(files, base);
  }

  /** Drops the names of sources that became no cell; it may still be reading. */
  forget(): void {
    const discard = () => {
      for (const source of this.#made) source.discard();
    };
    this.plan.then(discard, discard);
  }
}

const keyOf = (files: ReadonlySet<string>, base: number | undefined): string =>
  [String(base), ...[...files].sort()].join("\n");
