/**
 * What the control socket can ask of a worker, as one table: verb -> answer. The CLI and the dashboard use nothing else,
 * so they cannot disagree. Answers are plain JSON.
 */
import { url as inspector } from "node:inspector";
import { CageError } from "../errors.ts";
import type { FigureRow } from "../health/figures.ts";
import type { ReloadResult } from "../modules/loader.ts";
import type { Cage } from "./cage.ts";
import { changes } from "./changes.ts";
import { told } from "./fault.ts";
import { setLevel } from "./level.ts";
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
      dials: await cage.dials(),
      restart: await cage.stale.look(),
      broken: cage.loader.failure
        ? { message: cage.loader.failure.message, frame: cage.loader.failure.frame, file: cage.loader.failure.file }
        : null,
      types: cage.types.status(),
      inspector: inspector() ?? null,
      canary: cage.canary ?? null,
      held: cage.loader.held ? { of: cage.loader.held.of, at: cage.loader.held.at } : null,
    };
  },

  describe: (cage) => selfApi(cage).describe(),
  health: (cage) => selfApi(cage).health(),

  /** Counters, latencies, last errors and reloads (health/metrics.ts). Stacks are for the operator: this is one. */
  async metrics(cage) {
    return cage.metrics.snapshot();
  },

  /** Its generations and failed attempts, oldest first, each with how it did and how those before it had done. */
  async history(cage, args) {
    const { current, held } = cage.loader;
    const { beside = [] } = (args ?? {}) as { beside?: readonly FigureRow[] };
    return cage.loader.history().map((entry) => {
      if (!entry.ok) return entry;
      const { generation } = entry;
      const serving = generation === current.id;
      return {
        ...entry,
        serving,
        held: serving && held !== undefined,
        after: cage.figures.of(generation, beside),
        before: cage.figures.before(generation, beside),
      };
    });
  },

  /** How each generation did in this process, for the first of several. */
  async figures(cage) {
    return cage.figures.rows();
  },

  /** The effective configuration, each value with where it comes from; `key` narrows it to that and what is in it. */
  async config(cage, args) {
    const { key } = (args ?? {}) as { key?: string };
    const rows = await cage.explain();
    return key === undefined ? rows : rows.filter((row) => row.key === key || row.key.startsWith(`${key}.`));
  },

  async reload(cage) {
    return answered(cage, await cage.loader.reload("command"));
  },

  /** { generation? }: back to that one, or to the one before; holds until the next save. */
  async rollback(cage, args) {
    const to = (args as { generation?: unknown } | null)?.generation;
    if (to !== undefined && !Number.isSafeInteger(to))
      throw new CageError("BAD_INPUT", `generation: a number was expected, not ${JSON.stringify(to)}`);
    return answered(cage, await cage.loader.rollback(to as number | undefined));
  },

  /** { from?, to? }: what changed between two generations, as a unified diff. */
  diff: (cage, args) => changes(cage.loader, (args ?? {}) as { from?: number; to?: number }),

  /** From another process of this cage: a call to be made durable. Undefined when the journal is not here any more. */
  "retry.intake": async (cage, args) => (cage.retries.here ? await cage.retries.intake(args as never) : undefined),
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

  /** { level, label?, principal?, trace?, from?, forMs? } | { off: true } | {}: log levels of requests (level.ts). */
  level: async (cage, args) => setLevel(cage.levels, args),

  /** Slots of its interfaces and of its calls: taken, there, and waited for. */
  gates: (cage) => cage.gates(),

  /** From the supervisor, which lets nobody else ask for what begins with "process.". */
  "process.resign": (cage) => cage.resign(),
  "process.succeed": async (cage, args) => void (await cage.succeed((args ?? {}) as { since?: number })),
  "process.prepare": (cage, args) => cage.loader.prepare((args as { generation: number }).generation),
  "process.forget": (cage) => cage.loader.forget(),
  "process.catch up": async (cage) => answered(cage, await cage.loader.catchUp()),

  async requests(cage) {
    return (await cage.running()).map((request) => ({
      id: request.id,
      interface: request.interface,
      label: request.label,
      generation: request.generation,
      ageMs: performance.now() - request.startedAt,
      remainingMs: request.remaining,
      from: request.from,
      logLevel: request.logLevel,
      /** EXPIRED or CANCELLED: who asked was told so, and the work goes on. */
      stopped: request.stopped?.code ?? null,
    }));
  },
};

function answered(cage: Cage, outcome: ReloadResult) {
  if (outcome.ok) {
    const { ok: _, ...done } = outcome;
    return done;
  }
  throw told(outcome.error, cage.root);
}
