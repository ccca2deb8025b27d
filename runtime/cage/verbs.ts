/**
 * What the control socket can ask of a worker, as one table: verb -> answer. The CLI and the dashboard use nothing else,
 * so they cannot disagree. Answers are plain JSON.
 */
import { relative } from "node:path";
import { CageError } from "../errors.ts";
import type { Cage } from "./cage.ts";
import { selfApi } from "./self.ts";

export type Verb = (cage: Cage, args: unknown) => Promise<unknown>;

export const verbs: Readonly<Record<string, Verb>> = {
  /** The short of it, for `list` and the dashboard's first row. */
  async status(cage) {
    const memory = process.memoryUsage();
    return {
      generation: cage.loader.current.id,
      startedAt: cage.startedAt,
      uptimeMs: Date.now() - cage.startedAt,
      rssBytes: memory.rss,
      heapBytes: memory.heapUsed,
      running: (await cage.running()).length,
      interfaces: (await selfApi(cage).describe()).interfaces,
      broken: cage.loader.failure
        ? { message: cage.loader.failure.message, frame: cage.loader.failure.frame, file: cage.loader.failure.file }
        : null,
    };
  },

  describe: (cage) => selfApi(cage).describe(),
  health: (cage) => selfApi(cage).health(),

  /** Counters, latencies, last errors and reloads (health/metrics.ts). Stacks are for the operator: this is one. */
  async metrics(cage) {
    return cage.metrics.snapshot();
  },

  async history(cage) {
    return cage.loader.history();
  },

  /** The effective configuration, each value with where it comes from; `key` narrows it to that and what is in it. */
  async config(cage, args) {
    const { key } = (args ?? {}) as { key?: string };
    const rows = await cage.explain();
    return key === undefined ? rows : rows.filter((row) => row.key === key || row.key.startsWith(`${key}.`));
  },

  async reload(cage) {
    const outcome = await cage.loader.reload("command");
    if (!outcome.ok) {
      const { code, message, file, line, column, frame } = outcome.error;
      const where = file === "" ? "" : `${relative(cage.root, file)}${line > 0 ? `:${line}:${column}` : ""}: `;
      throw new CageError(code, `${where}${message}${frame === "" ? "" : `\n${frame}`}`);
    }
    return {
      generation: outcome.generation,
      files: outcome.files,
      dependents: outcome.dependents,
      durationMs: outcome.durationMs,
    };
  },

  /** Retried calls: counts per target. */
  retries: async (cage) => cage.retries.steering.summary(),
  /** One page of them: { state?, target?, ids?, limit?, cursor? }. */
  "retries.list": async (cage, args) => cage.retries.steering.list((args ?? {}) as never),
  "retries.show": async (cage, args) =>
    cage.retries.steering.show(String((args as { id?: unknown } | null)?.id)) ?? null,
  /** These change calls, by { ids } or { state, target }, and answer how many. */
  "retries.run": (cage, args) => cage.retries.steering.runNow(args as never),
  "retries.park": (cage, args) => cage.retries.steering.park(args as never),
  "retries.release": (cage, args) => cage.retries.steering.release(args as never),
  "retries.discard": (cage, args) => cage.retries.steering.discard(args as never),

  async requests(cage) {
    return (await cage.running()).map((request) => ({
      id: request.id,
      interface: request.interface,
      label: request.label,
      generation: request.generation,
      ageMs: performance.now() - request.startedAt,
      remainingMs: request.remaining,
    }));
  },
};
