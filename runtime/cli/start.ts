/**
 * ./cage start [NAME ...]: starts cages (all of them without a name), returns when each is ready, and leaves them running.
 * What runs already is said so. With --foreground one cage stays in this process, for containers and systemd.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { askControl } from "../cage/control.ts";
import { ensureRun, type Paths, socketOf } from "../cage/paths.ts";
import { CageError } from "../errors.ts";
import { type InstanceStatus, named, statusOf, urlOf } from "./instances.ts";
import type { Command, Given } from "./main.ts";
import { table } from "./table.ts";

type Outcome =
  | { readonly ok: true; readonly status: InstanceStatus; readonly already?: boolean }
  | {
      readonly ok: false;
      readonly code: string;
      readonly message: string;
      readonly frame?: string;
      readonly stderr: readonly string[];
    };

/** A first start compiles the cage; six at once on two cores take a few seconds. */
const startMs = 60_000;

export const start: Command = {
  usage: "[NAME ...] [--foreground] [--no-watch] [--inspect PORT]",
  summary: "start cages (all without a name) and leave them running",
  options: { foreground: { type: "boolean" }, "no-watch": { type: "boolean" }, inspect: { type: "string" } },
  async run(given) {
    const cages = named(given.paths, given.words);
    if (cages.length === 0)
      throw new CageError("BAD_INPUT", `there are no cages under ${given.paths.cages}; ./cage new NAME makes one`);
    ensureRun(given.paths);
    if (given.flags["foreground"]) return await foreground(given, cages);
    const outcomes = await Promise.all(cages.map(async (cage) => [cage, await begin(given, cage)] as const));
    if (given.flags["json"]) process.stdout.write(`${JSON.stringify(Object.fromEntries(outcomes))}\n`);
    else report(outcomes);
    return outcomes.every(([, outcome]) => outcome.ok) ? 0 : 1;
  },
};

async function begin(given: Given, cage: string): Promise<Outcome> {
  const { paths } = given;
  const running = await whenSettled(paths, cage);
  if (running?.state === "ready") return { ok: true, status: running, already: true };
  if (running?.state === "failed" || running?.state === "drained") {
    await askControl(socketOf(paths, "ctl", cage), "start");
    return await joined(paths, cage, false);
  }
  const supervisor = spawn(process.execPath, [join(given.build, "supervise.js")], {
    detached: true,
    stdio: ["ignore", "ignore", "ignore", "pipe"],
    cwd: paths.root,
    env: {
      ...process.env,
      CAGE_SUPERVISOR: JSON.stringify({
        home: paths.home,
        root: paths.root,
        cage,
        worker: join(given.build, "worker.js"),
        watch: !given.flags["no-watch"],
        ...inspected(given),
      }),
    },
  });
  supervisor.unref();
  const pipe = supervisor.stdio[3] as import("node:net").Socket;
  return await new Promise<Outcome>((resolve) => {
    let text = "";
    const late = setTimeout(() => {
      // It may become ready yet; this command does not wait for it any more.
      pipe.destroy();
      resolve(refused(`not ready within ${startMs / 1000} s; ./cage logs ${cage} tells more`, "EXPIRED"));
    }, startMs);
    pipe.setEncoding("utf8");
    pipe.on("data", (chunk: string) => (text += chunk));
    pipe.on("close", () => {
      clearTimeout(late);
      try {
        const outcome = JSON.parse(text) as Outcome;
        // Another start was faster by a moment: its cage is this one's too.
        resolve(!outcome.ok && outcome.code === "CONFLICT" ? joined(paths, cage, true) : outcome);
      } catch {
        resolve(refused(`the supervisor ended without a word; ./cage logs ${cage} tells more`));
      }
    });
  });
}

const refused = (message: string, code = "INTERNAL"): Outcome => ({ ok: false, code, message, stderr: [] });

/** What runs, once it is neither on its way up nor down; undefined when nothing does. */
async function whenSettled(paths: Paths, cage: string): Promise<InstanceStatus | undefined> {
  const deadline = Date.now() + startMs;
  for (;;) {
    const status = await statusOf(paths, cage);
    const settled = status === undefined || ["ready", "failed", "drained"].includes(status.state);
    if (settled || Date.now() > deadline) return status;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The outcome of a start that somebody else's supervisor makes. */
async function joined(paths: Paths, cage: string, already: boolean): Promise<Outcome> {
  const status = await whenSettled(paths, cage);
  if (status?.state === "ready") return { ok: true, status, already };
  return refused(`it did not become ready (${status?.state ?? "it ended"}); ./cage logs ${cage} tells more`);
}

/** For a debugger, on the loopback; 0 is any free port, and ./cage list tells which. */
function inspected({ flags }: Given): { inspect?: number } {
  if (flags["inspect"] === undefined) return {};
  const inspect = Number(flags["inspect"]);
  if (Number.isInteger(inspect) && inspect >= 0 && inspect < 65_536) return { inspect };
  throw new CageError("BAD_INPUT", `--inspect takes a port, or 0 for any, not '${flags["inspect"]}'`);
}

function report(outcomes: readonly (readonly [string, Outcome])[]): void {
  const rows = [["CAGE", "STATE", "PID", "GENERATION", "URL"]];
  for (const [cage, outcome] of outcomes) {
    if (!outcome.ok) rows.push([cage, "not started", "", "", ""]);
    else {
      const { status, already } = outcome;
      rows.push([
        cage,
        already ? `already ${status.state}` : status.state,
        String(status.pid ?? ""),
        String(status.worker?.generation ?? ""),
        urlOf(status),
      ]);
    }
  }
  process.stdout.write(table(rows));
  for (const [cage, outcome] of outcomes) {
    if (outcome.ok) continue;
    process.stderr.write(`cage: ${cage}: ${outcome.message}\n${outcome.frame ? `${outcome.frame}\n` : ""}`);
    if (outcome.code === "INTERNAL" && outcome.stderr.length > 0)
      process.stderr.write(`${outcome.stderr.map((line) => `  ${line}`).join("\n")}\n`);
  }
}

async function foreground(given: Given, cages: readonly string[]): Promise<number> {
  const [cage, other] = cages;
  if (cage === undefined || other !== undefined)
    throw new CageError("BAD_INPUT", "--foreground takes one cage: ./cage start NAME --foreground");
  const { Supervisor } = await import("../cage/supervisor.ts");
  return await new Promise<number>((resolve, reject) => {
    const supervisor = new Supervisor({
      paths: given.paths,
      cage,
      workerFile: join(given.build, "worker.js"),
      watch: !given.flags["no-watch"],
      ...inspected(given),
      foreground: true,
      notify: (outcome) => {
        if (outcome.ok)
          process.stdout.write(`${`${cage} is ready ${urlOf(outcome.status as InstanceStatus)}`.trimEnd()}\n`);
        else {
          process.stderr.write(`cage: ${cage}: ${outcome.message}\n${outcome.frame ? `${outcome.frame}\n` : ""}`);
          resolve(1);
        }
      },
    });
    // The supervisor ends this process itself when it is told to stop.
    supervisor.start().catch(reject);
  });
}
