/**
 * One instance's row in the registry that discovery reads: a small file beside the control socket that says who runs here,
 * and which of its processes serve now. Never half a file; a supervisor that was killed leaves its row behind.
 *
 *     const registry = new Registry(paths, { cage: "shop", node: "a" });
 *     await registry.predecessor(15_000);                  // workers that a killed supervisor left, and that drain
 *     registry.write([1201, 1202], [1, 2]);
 *     registry.remove();
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { type Paths, socketOf } from "./paths.ts";

const lookEveryMs = 20;

export class Registry {
  readonly #file: string;
  readonly #who: { readonly node: string; readonly cage: string };

  constructor(paths: Paths, who: { readonly node: string; readonly cage: string }) {
    this.#file = `${socketOf(paths, "ctl", who.cage)}.json`;
    this.#who = who;
  }

  write(workers: readonly (number | undefined)[], processes: readonly number[]): void {
    const row = { ...this.#who, pid: process.pid, workers, processes };
    writeFileSync(`${this.#file}.new`, JSON.stringify(row));
    renameSync(`${this.#file}.new`, this.#file);
  }

  remove(): void {
    rmSync(this.#file, { force: true });
  }

  /** A journal and ports that they had are free when they are gone; waits for that no longer than `limitMs`. */
  async predecessor(limitMs: number): Promise<void> {
    const pids = this.#workers();
    const deadline = Date.now() + limitMs;
    while (pids.some((pid) => isWorker(pid, this.#who.cage)) && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
  }

  #workers(): readonly number[] {
    try {
      const { workers } = JSON.parse(readFileSync(this.#file, "utf8")) as { workers?: readonly number[] };
      return workers ?? [];
    } catch {
      return [];
    }
  }
}

/** By its title too, where the system shows that: a number may have become another process since. */
function isWorker(pid: number, cage: string): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return (
      readFileSync(`/proc/${pid}/cmdline`, "utf8")
        .replace(/[\0 ]+$/, "")
        .split(" #")[0] === `cage ${cage}`
    );
  } catch {
    return process.platform !== "linux";
  }
}
