/**
 * What was loaded when: one line of JSON for each generation and each failed attempt, kept over restarts.
 *
 *     await history.open();  history.add({ generation: 8, trigger: "watch", files: ["cages/shop/orders.ts"], ... });
 *     history.entries        // oldest first
 *
 * Generations are numbered on from the last kept one, so a number in a log means one thing. Bounded: beyond twice
 * `maxEntries` lines the file is rewritten with the newest. A disk that refuses costs the history, never a reload.
 */
import { appendFile, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { ReloadFailure } from "./failure.ts";

export type Trigger = "start" | "watch" | "command" | "rollback";

export interface Entry {
  /** Of a failed attempt: the number it would have had. */
  readonly generation: number;
  readonly ok: boolean;
  readonly at: string;
  readonly trigger: Trigger;
  /** Relative to the project. */
  readonly files: readonly string[];
  /** Modules made anew because something they import changed. */
  readonly dependents: number;
  readonly durationMs: number;
  /** Of a rollback: the generation whose texts it has. */
  readonly of?: number;
  readonly error?: Omit<ReloadFailure, "cause">;
}

/** Some weeks of work on one cage, in about 100 kB. */
const maxEntries = 500;

export class History {
  readonly #path: string;
  #entries: Entry[] = [];
  #lines = 0;
  #tail: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  get lastGeneration(): number {
    return this.#entries.reduce((last, entry) => (entry.ok ? Math.max(last, entry.generation) : last), 0);
  }

  async open(): Promise<void> {
    await this.#tail;
    const text = await readFile(this.#path, "utf8").catch(() => "");
    const lines = text.split("\n").filter(Boolean);
    this.#lines = lines.length;
    // The last line of a killed process may be half a line.
    this.#entries = lines.slice(-maxEntries).flatMap((line) => parsed(line));
  }

  add(entry: Entry): void {
    this.#entries.push(entry);
    if (this.#entries.length > maxEntries) this.#entries.shift();
    const line = `${JSON.stringify(entry)}\n`;
    const rewrite = ++this.#lines > 2 * maxEntries;
    const whole = rewrite ? this.#entries.map((each) => `${JSON.stringify(each)}\n`).join("") : "";
    if (rewrite) this.#lines = this.#entries.length;
    this.#tail = this.#tail
      .then(async () => {
        await mkdir(dirname(this.#path), { recursive: true });
        if (!rewrite) return await appendFile(this.#path, line);
        await writeFile(`${this.#path}.new`, whole);
        await rename(`${this.#path}.new`, this.#path);
      })
      .catch(() => {});
  }

  /** Everything added so far is on the disk. */
  flush(): Promise<void> {
    return this.#tail;
  }
}

function parsed(line: string): Entry[] {
  try {
    const entry = JSON.parse(line) as Partial<Entry>;
    return typeof entry.generation === "number" && typeof entry.ok === "boolean" ? [entry as Entry] : [];
  } catch {
    return [];
  }
}
