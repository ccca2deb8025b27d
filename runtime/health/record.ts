/**
 * Writes to the log what happens in a process: failures with their stack, reloads, retried calls that need a person.
 * What went well is in the metrics; a line for each good request would bury the rest.
 *
 *     const stop = recordEvents();
 *
 * A failing function that is called often says so often: each error (by code and label) is written at most so many times
 * a minute, and then how many were held back.
 */
import { coded } from "../errors.ts";
import { events } from "./events.ts";
import { type Log, log as processLog } from "./log.ts";

const perMinute = 10;
const maxKinds = 200;
const lingeredFromMs = 100;

export function recordEvents(log: Log = processLog, now: () => number = () => performance.now()): () => void {
  const written = new Map<string, { since: number; count: number }>();
  /** How many were held back since this kind was last written; undefined: hold this one back as well. */
  const admitted = (kind: string): number | undefined => {
    const at = now();
    const row = written.get(kind);
    if (row !== undefined && at - row.since < 60_000) return row.count++ < perMinute ? 0 : undefined;
    if (row === undefined && written.size >= maxKinds) written.delete(written.keys().next().value as string);
    written.set(kind, { since: at, count: 1 });
    return Math.max(0, (row?.count ?? 0) - perMinute);
  };

  const off = [
    events.on("problem", ({ what, error }) => {
      const { code, message } = coded(error);
      if (admitted(`problem ${code} ${what}`) !== undefined) log.error(`${what}: ${message}`, { code, error });
    }),
    events.on("request.done", (done) => {
      if (done.error === undefined || done.error === null) return;
      const error = coded(done.error);
      if (error.status < 500) return;
      const held = admitted(`${error.code} ${done.interface} ${done.label}`);
      if (held === undefined) return;
      log.error(`${done.label}: ${error.message}`, {
        code: error.code,
        request: done.id,
        interface: done.interface,
        generation: done.generation,
        ...(held > 0 ? { heldBack: held } : {}),
        error: error.cause ?? error,
      });
    }),
    events.on("request.lingered", ({ interface: from, label, lingeredMs, generation, id }) => {
      // A tick of the wheel: it had all but ended.
      if (lingeredMs < lingeredFromMs || admitted(`lingered ${from} ${label}`) === undefined) return;
      log.warn(`${label} went on for ${Math.round(lingeredMs)} ms after its waiter was released, and kept its slot`, {
        request: id,
        interface: from,
        generation,
      });
    }),
    events.on("request.overdue", ({ interface: from, label, overdueMs, generation, id }) => {
      if (admitted(`overdue ${from} ${label}`) === undefined) return;
      log.warn(
        `${label} still runs ${Math.round(overdueMs / 1_000)} s after its waiter was released, and has its slot until it ends`,
        { request: id, interface: from, generation },
      );
    }),
    events.on("loop.blocked", ({ durationMs, label, id, generation, stack, ...rest }) => {
      if (admitted(`blocked ${label}`) === undefined) return;
      log.warn(`${label} held the event loop for ${Math.round(durationMs)} ms`, {
        request: id,
        interface: rest.interface,
        generation,
        stack,
      });
    }),
    events.on("reload.done", ({ generation, files, dependents, durationMs, trigger, of }) =>
      log.info(`generation ${generation} serves`, {
        files,
        dependents,
        durationMs: Math.round(durationMs),
        trigger,
        ...(of === undefined ? {} : { of }),
      }),
    ),
    events.on("reload.failed", ({ message, frame, file }) =>
      log.error(`not reloaded, the old generation serves: ${message}`, { file, frame }),
    ),
    events.on("types.done", ({ generation, count, errors }) => {
      const [first] = errors;
      if (first === undefined) return;
      const { file, line, code, message, frame } = first;
      log.warn(`generation ${generation} has ${count} type errors: ${message}`, {
        file,
        line,
        code,
        frame,
        generation,
      });
    }),
    events.on("types.off", ({ why }) => log.info(`types are not checked: ${why}`)),
    events.on("restart.needed", ({ what, files }) => log.warn(`restart to apply changed ${what}`, { files })),
    events.on("generation.overdue", ({ generation, ageMs, holds }) =>
      log.warn(`generation ${generation} is still held ${Math.round(ageMs / 1_000)} s after it was replaced`, {
        holds,
      }),
    ),
    events.on("canary.done", ({ generation, kept, requests, why }) =>
      log[kept ? "info" : "warn"](`generation ${generation} on trial ${kept ? "stays" : "was rolled back"}: ${why}`, {
        requests,
      }),
    ),
    events.on("interface.up", ({ name, protocol, url }) => log.info(`interface ${name} listens`, { protocol, url })),
    events.on("interface.down", ({ name }) => log.info(`interface ${name} closed`)),
    events.on("resource.down", ({ name }) => log.warn(`resource ${name} is down`)),
    events.on("retry.failed", ({ id, to, path, attempts, error, parked }) => {
      const { code, message } = coded(error);
      if (parked) log.warn(`retried call ${to}.${path} is parked: ${message}`, { id, attempts, code });
      else if (admitted(`retry ${code} ${to} ${path}`) !== undefined)
        log.info(`retried call ${to}.${path} will be tried again: ${message}`, { id, attempts, code });
    }),
  ];
  return () => {
    for (const stop of off) stop();
  };
}
