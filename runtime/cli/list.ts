/** ./cage list: what runs here, with pid, generation, uptime, restarts and memory. */

import type { CanaryStatus } from "../cage/canary.ts";
import { restartSentence } from "../cage/stale.ts";
import { type InstanceStatus, registered, statusOf, urlOf, type WorkerStatus } from "./instances.ts";
import type { Command } from "./main.ts";
import { duration, megabytes, table } from "./table.ts";

export const list: Command = {
  usage: "",
  summary: "what runs: pid, generation, uptime, restarts, memory",
  async run(given) {
    const silent: string[] = [];
    const rows = await Promise.all(
      registered(given.paths).map(async (cage) => ({
        cage,
        // One that leaves this moment, or hangs, must not hide the others.
        status: await statusOf(given.paths, cage).catch(
          (error: Error) => void silent.push(`${cage}: ${error.message}`),
        ),
      })),
    );
    const running = rows.flatMap((row) => (row.status === undefined ? [] : [row.status]));
    if (given.flags["json"]) {
      process.stdout.write(`${JSON.stringify(running)}\n`);
      return 0;
    }
    for (const line of silent) process.stderr.write(`cage: ${line}\n`);
    if (running.length === 0 && silent.length === 0) {
      process.stdout.write("nothing runs; ./cage start begins\n");
      return 0;
    }
    process.stdout.write(
      table([["CAGE", "STATE", "PID", "GENERATION", "UPTIME", "RESTARTS", "MEMORY", "URL"], ...running.map(row)]),
    );
    for (const status of running) {
      for (const { name, protocol, status: more } of status.worker?.interfaces ?? [])
        if (more) process.stdout.write(`${status.cage}: ${name} (${protocol}): ${facts(more)}\n`);
      for (const { address, open, why } of status.worker?.dials ?? [])
        process.stdout.write(
          `${status.cage}: dials ${address}: ${open ? "open" : `not open, tried again and again${why && `: ${why}`}`}\n`,
        );
      if (status.worker?.inspector)
        process.stdout.write(`${status.cage}: a debugger may come to ${status.worker.inspector}\n`);
      if (status.worker?.held)
        process.stdout.write(
          `${status.cage}: generation ${status.worker.generation} is generation ${status.worker.held.of} again, and holds until the next save\n`,
        );
      if (status.worker?.canary) process.stdout.write(`${status.cage}: ${trial(status.worker.canary)}\n`);
      if (status.worker?.broken)
        process.stdout.write(
          `${status.cage}: the last save did not load, the old generation serves: ${status.worker.broken.message}\n`,
        );
      for (const { file, line, code, message } of status.worker?.types.faults.slice(0, typesShown) ?? [])
        process.stdout.write(`${status.cage}: ${file}:${line}: ${code}: ${message.split("\n")[0]}\n`);
      for (const outdated of status.worker?.restart ?? [])
        process.stdout.write(
          `${status.cage}: ${restartSentence(outdated)} with ./cage ${outdated.what === "runtime" ? `upgrade ${status.cage}` : `restart ${status.cage} --rolling`}\n`,
        );
      if (status.degraded.length > 0)
        process.stdout.write(
          `${status.cage}: degraded, process ${status.degraded.join(", ")} ends again and again; the others serve\n`,
        );
      if (status.state === "failed")
        process.stdout.write(
          `${status.cage}: crashed too often and was stopped:\n${status.stderr.map((line) => `  ${line}`).join("\n")}\n`,
        );
    }
    return 0;
  },
};

/** "next 2026-01-01T00:00:00.000Z, skipped 0" */
const facts = (status: Readonly<Record<string, string | number | null>>): string =>
  Object.entries(status)
    .flatMap(([name, value]) => (value === null ? [] : [`${name} ${value}`]))
    .join(", ");

/** Of each cage; output.log has them with their frames. */
const typesShown = 3;

const row = (status: InstanceStatus): string[] => [
  status.cage,
  status.state,
  `${status.pid ?? ""}${status.others.length > 0 ? ` +${status.others.length}` : ""}`,
  status.worker === undefined ? "" : generationOf(status.worker),
  duration(status.worker?.uptimeMs ?? 0),
  String(status.restarts),
  megabytes([status, ...status.others].reduce((sum, { worker }) => sum + (worker?.rssBytes ?? 0), 0)),
  urlOf(status),
];

const trial = ({ generation, before, share, requests, wanted, failed }: CanaryStatus): string =>
  share === 0
    ? `generation ${generation} did worse on trial and takes no requests; generation ${before} serves`
    : `generation ${generation} is on trial against generation ${before}: ${Math.round(share * 100)} % of the requests, ` +
      `${requests} of ${wanted} so far, ${failed} failed`;

function generationOf({ generation, held, types }: WorkerStatus): string {
  const faults = types.count === 0 ? "" : ` (${types.count} type error${types.count > 1 ? "s" : ""})`;
  return `${generation}${held ? " held" : ""}${faults}`;
}
