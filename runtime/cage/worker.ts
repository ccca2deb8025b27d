/**
 * The worker: the process in which a cage lives. Started by its supervisor with what it is in CAGE_WORKER; talks to it
 * by IPC only. SIGTERM or the loss of the supervisor drains; a second SIGTERM ends at once.
 */

import { dirname, join } from "node:path";
import { type CageError, coded } from "../errors.ts";
import { events } from "../health/events.ts";
import { openLog } from "../health/log.ts";
import * as door from "../index.ts";
import { Cage } from "./cage.ts";
import { linkToSupervisor } from "./link.ts";
import { pathsOf } from "./paths.ts";
import { report } from "./report.ts";

const given = JSON.parse(process.env["CAGE_WORKER"] ?? "null") as {
  home: string;
  root: string;
  cage: string;
  node: string;
  watch: boolean;
  again: boolean;
  process: number;
  follow?: number;
  beside: boolean;
} | null;
if (given === null) throw new Error("the worker is started by its supervisor; use ./cage start NAME");
delete process.env["CAGE_WORKER"];

const first = given.process === 1;
process.title = `cage ${given.cage}${first ? "" : ` #${given.process}`}`;

let leaving = false;
const ending = new AbortController();
function leave(code = 0): void {
  if (leaving) process.exit(code);
  leaving = true;
  ending.abort();
  cage
    .stop()
    .catch((error: Error) => {
      process.stderr.write(`${error.stack}\n`);
      process.exitCode = 1;
    })
    .finally(() => {
      openedLog.close();
      process.exit(process.exitCode ?? code);
    });
}

/** However often it is told: only a person's second signal ends it at once. */
function drain(code = 0): void {
  if (!leaving) leave(code);
}

const link = linkToSupervisor({
  ask: (verb, args) => cage.ask(verb, args),
  follow: (generation) =>
    void cage.follow(generation).catch((error: Error) => {
      events.emit("problem", { what: `following generation ${generation}`, error });
      link.cannot(generation, error.message);
    }),
  drain: () => drain(),
  orphaned: () => drain(),
});

const built = dirname(process.argv[1] as string);
const paths = pathsOf(given.home, given.root);
const cage = new Cage({
  paths,
  name: given.cage,
  node: given.node,
  watch: given.watch,
  again: given.again,
  process: given.process,
  beside: given.beside,
  ...(given.follow === undefined ? {} : { follow: given.follow }),
  link,
  door,
  // What runs here is the built worker; the programs of threads and tests stand beside it.
  threadFile: join(built, "thread.js"),
  async gate(candidate) {
    const { passTests } = await import("../testing/run.ts");
    const { home, root, cage } = given;
    await passTests({ home, root, cage }, built, candidate, ending.signal);
  },
});

process.on("SIGTERM", () => leave());
// Ctrl-C reaches the whole group of a foreground start; the supervisor is who decides.
process.on("SIGINT", () => {});
process.on("unhandledRejection", (reason) => {
  // A promise somebody forgot must not take a service down; it must not go unseen either.
  events.emit("problem", { what: "a promise that nobody awaited", error: reason });
});

// A file each: rotation knows of its own process only.
const openedLog = openLog({ file: join(paths.logs, given.cage, first ? "cage.log" : `cage.${given.process}.log`) });
// What the others would say of reloads, the one that leads has said.
report(given.cage, (text) => {
  if (cage.leads) link.say(text);
});

cage.start().then(
  async () => {
    link.ready(await cage.ask("status", undefined));
    await cage.announce();
  },
  (thrown: unknown) => {
    const error = coded(thrown) as CageError & { cause?: { frame?: string } };
    const frame = (thrown as { frame?: string }).frame ?? error.cause?.frame;
    link.failed(error.message, frame);
    process.stderr.write(
      `${error.code === "INTERNAL" ? ((thrown as Error)?.stack ?? error.message) : error.message}\n`,
    );
    // What was said must leave first.
    setImmediate(() => process.exit(1));
  },
);
