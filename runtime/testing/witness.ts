/**
 * What goes wrong around a test without reaching it: a rejection that nobody awaits (that fails the test that let it go),
 * and errors whose callers are only told a code, as an http client is told 500 (shown beside a test that failed).
 */
import { events } from "../health/events.ts";
import { topOf } from "../modules/stack.ts";

/** The first say what is wrong; a loop that fails says the same a thousand times. */
const maxNotes = 10;

export class Witness {
  #stray: { readonly error: unknown } | undefined;
  #notes: string[] = [];

  constructor() {
    process.on("unhandledRejection", (error) => {
      this.#stray ??= { error };
    });
    events.on("request.done", (done) => {
      // A test's own end is its result.
      if (done.error !== undefined && done.interface !== "test")
        this.#note(`${done.interface} ${done.label}`, done.error);
    });
    events.on("problem", ({ what, error }) => this.#note(what, error));
  }

  /** What was seen since it was last asked. */
  tell(): { stray: { readonly error: unknown } | undefined; notes: readonly string[] } {
    const seen = { stray: this.#stray, notes: this.#notes };
    this.#stray = undefined;
    this.#notes = [];
    return seen;
  }

  #note(what: string, error: unknown): void {
    if (this.#notes.length >= maxNotes) return;
    const at = topOf(error);
    const place = at === undefined ? "" : ` (${at.file}:${at.line}:${at.column})`;
    this.#notes.push(`${what}: ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}${place}`);
  }
}
