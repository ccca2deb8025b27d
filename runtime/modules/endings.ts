/**
 * The end of generations: of one that was refused before it served, and of one that nobody holds any more. Stop hooks run
 * for what was begun and no other generation has, then what the cage had open for it is closed. What fails on the way is
 * logged, for nobody waits.
 */
import { events } from "../health/events.ts";
import { outside } from "../request/request.ts";
import type { Cell } from "./cell.ts";
import type { Generation } from "./generation.ts";
import { finish } from "./life.ts";

interface EndingsOptions<A> {
  runHook(generation: Generation<A>, hook: () => unknown): Promise<void>;
  dispose(generationId: number, attachment: A): Promise<void>;
  shown(file: string): string;
}

export class Endings<A> {
  readonly #options: EndingsOptions<A>;
  readonly #running = new Set<Promise<void>>();
  /** The current generation, and older ones that are held. */
  readonly live = new Set<Generation<A>>();

  constructor(options: EndingsOptions<A>) {
    this.#options = options;
  }

  /** A candidate that did not come to serve. */
  async refuse(
    generation: Generation<A>,
    begun: readonly Cell[],
    prepared: { abort(): Promise<void> } | undefined,
  ): Promise<void> {
    generation.force();
    for (const cell of [...begun].reverse()) await this.#finish(generation, cell);
    await prepared?.abort().catch((error) => complain("closing what a refused reload had opened", error));
    generation.release();
    generation.ended();
  }

  /** Nobody holds it any more. */
  end(generation: Generation<A>): void {
    const ending = outside(async () => {
      for (const cell of generation.release()) await this.#finish(generation, cell);
      await this.#options
        .dispose(generation.id, generation.attachment)
        .catch((error) => complain(`closing what generation ${generation.id} had open`, error));
      generation.ended();
      this.live.delete(generation);
      events.emit("generation.collected", { generation: generation.id });
    });
    this.#running.add(ending);
    void ending.finally(() => this.#running.delete(ending));
  }

  /** Ends all of them, held or not. */
  async all(): Promise<void> {
    for (const generation of this.live) if (generation.force()) this.end(generation);
    await Promise.all(this.#running);
  }

  async #finish(generation: Generation<A>, cell: Cell): Promise<void> {
    await finish(cell, (hook) => this.#options.runHook(generation, hook)).catch((error) =>
      complain(`the stop hook of ${this.#options.shown(cell.source.file)}`, error),
    );
  }
}

export function complain(what: string, error: unknown): void {
  events.emit("log", {
    level: "error",
    message: `${what} failed: ${error instanceof Error ? error.message : String(error)}`,
    fields: { error },
  });
}
