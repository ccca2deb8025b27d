/** The instances on this node as commands see them: asked one by one over their control sockets, in parallel. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { nearest } from "../../lib/nearest.ts";
import type { CanaryStatus } from "../cage/canary.ts";
import { askControl } from "../cage/control.ts";
import { cagesOf, isName, type Paths, socketOf } from "../cage/paths.ts";
import type { Outdated } from "../cage/stale.ts";
import type { Status } from "../cage/status.ts";
import type { KeptStatus } from "../engine/engine.ts";
import { CageError } from "../errors.ts";
import type { Interface } from "../interfaces/interface.ts";

export interface WorkerStatus {
  readonly generation: number;
  readonly uptimeMs: number;
  readonly rssBytes: number;
  readonly running: number;
  readonly interfaces: readonly {
    readonly name: string;
    readonly protocol: string;
    readonly url: string | null;
    readonly status?: Interface["status"];
  }[];
  readonly dials: readonly KeptStatus[];
  readonly inspector: string | null;
  readonly broken: { readonly message: string } | null;
  readonly types: {
    readonly count: number;
    readonly faults: readonly {
      readonly file: string;
      readonly line: number;
      readonly code: string;
      readonly message: string;
    }[];
  };
  readonly canary: CanaryStatus | null;
  readonly held: { readonly of: number; readonly at: string } | null;
  readonly restart: readonly Outdated[];
}

export type InstanceStatus = Omit<Status, "worker" | "others"> & {
  readonly worker?: WorkerStatus;
  readonly others: readonly { readonly process: number; readonly pid?: number; readonly worker?: WorkerStatus }[];
};

/** What a cage's supervisor says, or undefined when none runs. */
export async function statusOf(paths: Paths, cage: string): Promise<InstanceStatus | undefined> {
  try {
    return (await askControl(socketOf(paths, "ctl", cage), "status", undefined, 3_000)) as InstanceStatus;
  } catch (error) {
    if ((error as CageError).code === "NO_SUCH_CAGE") return undefined;
    throw error;
  }
}

/** One verb of a cage that must run, with what to do when there is no such cage or it does not run. */
export async function askOf(paths: Paths, cage: string, verb: string, args?: unknown): Promise<unknown> {
  try {
    return await askControl(socketOf(paths, "ctl", cage), verb, args);
  } catch (error) {
    if ((error as CageError).code !== "NO_SUCH_CAGE") throw error;
    named(paths, [cage]);
    throw new CageError("NO_SUCH_CAGE", `cage ${cage} does not run; start it with ./cage start ${cage}`);
  }
}

/** Names of the cages that have (or had) a supervisor here: its registry file, which a kill leaves behind. */
export function registered(paths: Paths): string[] {
  if (!existsSync(paths.run)) return [];
  return readdirSync(paths.run)
    .filter((name) => name.endsWith(".json"))
    .flatMap((name) => {
      try {
        return [(JSON.parse(readFileSync(join(paths.run, name), "utf8")) as { cage: string }).cage];
      } catch {
        return [];
      }
    })
    .sort();
}

/** The names given, checked; all cages when none is. */
export function named(paths: Paths, words: readonly string[]): string[] {
  const all = cagesOf(paths);
  for (const word of words) {
    if (!isName(word)) throw new CageError("BAD_INPUT", `'${word}' is no name of a cage; use 1-32 of A-Z a-z 0-9 _ -`);
    if (all.includes(word)) continue;
    const near = nearest(word, all);
    throw new CageError(
      "BAD_INPUT",
      `there is no cage '${word}' under ${paths.cages}${near ? `; did you mean '${near}'?` : `; ./cage new ${word} makes one`}`,
    );
  }
  return words.length > 0 ? [...words] : all;
}

export const urlOf = (status: InstanceStatus): string =>
  (status.worker?.interfaces ?? []).flatMap((row) => (row.url === null ? [] : [row.url])).join(" ");
