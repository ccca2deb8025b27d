/**
 * What changed on disk that a reload cannot bring, because a process loads it once: packages (told by their lock file)
 * and the runtime's own copy of its code and of lib/. Never applied by halves: it is reported, and a restart applies it.
 *
 *     const stale = new Stale(paths);
 *     stale.start();                       // emits "restart.needed" once for each new state of affairs
 *     await stale.look()                   // [{ what: "packages", files: ["package-lock.json"] }]
 *
 * What the process runs is known from its build: the source maps beside it hold the text of every source. Run without a
 * build (under a test) only the lock files are watched. Decided by content; times and sizes only save the reading.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Events, events } from "../health/events.ts";
import type { Paths } from "./paths.ts";

export interface Outdated {
  readonly what: "packages" | "runtime";
  /** Relative to the installation or project. */
  readonly files: readonly string[];
}

const everyMs = 10_000;

interface Known {
  /** What this process loaded. */
  readonly text: string | undefined;
  readonly what: Outdated["what"];
  seen?: string;
  differs: boolean;
}

export class Stale {
  readonly #paths: Paths;
  readonly #build: string;
  readonly #known = new Map<string, Known>();
  #opened: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #told = "[]";

  constructor(paths: Paths, build = dirname(fileURLToPath(import.meta.url))) {
    this.#paths = paths;
    this.#build = build;
  }

  start(): void {
    void this.look();
    this.#timer = setInterval(() => void this.look(), everyMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async look(): Promise<readonly Outdated[]> {
    await (this.#opened ??= this.#open());
    await Promise.all([...this.#known].map(([file, known]) => this.#compare(file, known)));
    const outdated = (["packages", "runtime"] as const).flatMap((what) => {
      const files = [...this.#known].filter(([, known]) => known.what === what && known.differs);
      return files.length === 0 ? [] : [{ what, files: files.map(([file]) => this.#shown(file)).sort() }];
    });
    const key = JSON.stringify(outdated);
    if (key !== this.#told) for (const each of outdated) events.emit("restart.needed", each);
    this.#told = key;
    return outdated;
  }

  async #open(): Promise<void> {
    const { root, home } = this.#paths;
    for (const file of new Set([join(root, "package-lock.json"), join(home, "package-lock.json")]))
      this.#known.set(file, { what: "packages", text: await textOf(file), differs: false });
    const maps = (await readdir(this.#build).catch(() => [])).filter((name) => name.endsWith(".js.map"));
    for (const name of maps) {
      const { sources, sourcesContent } = JSON.parse((await textOf(join(this.#build, name))) ?? "{}") as {
        sources?: readonly string[];
        sourcesContent?: readonly string[];
      };
      for (const [at, source] of (sources ?? []).entries()) {
        const text = sourcesContent?.[at];
        const file = resolve(this.#build, source);
        if (text !== undefined && file.startsWith(home))
          this.#known.set(file, { what: "runtime", text, differs: false });
      }
    }
  }

  async #compare(file: string, known: Known): Promise<void> {
    const found = await stat(file).catch(() => undefined);
    const seen = found === undefined ? "" : `${found.mtimeMs} ${found.size} ${found.ino}`;
    if (seen === known.seen) return;
    known.seen = seen;
    known.differs = (await textOf(file)) !== known.text;
  }

  #shown(file: string): string {
    const { root, home } = this.#paths;
    return relative(file.startsWith(root) ? root : home, file);
  }
}

const textOf = (file: string): Promise<string | undefined> => readFile(file, "utf8").catch(() => undefined);

/** "restart to apply" as one sentence. */
export const restartSentence = ({ what, files }: Events["restart.needed"]): string => {
  const shown = files.length > 3 ? `${files.slice(0, 3).join(", ")} and ${files.length - 3} more` : files.join(", ");
  if (what === "packages") return `packages changed (${shown}); what is loaded stays as it was: restart to apply`;
  return what === "engine"
    ? `what joins the nodes changed (engine in ${shown}); restart to apply`
    : `the runtime's own code changed (${shown}); restart to apply`;
};
