/**
 * The worker: the process in which a cage lives. Started by its supervisor with what it is in CAGE_WORKER; talks to it
 * by IPC only. SIGTERM or the loss of the supervisor drains; a second SIGTERM ends at once.
 */

import { type CageError, coded } from "../errors.ts";
import { events } from "../health/events.ts";
import * as door from "../index.ts";
import { Cage } from "./cage.ts";
import { linkToSupervisor } from "./link.ts";
import { pathsOf } from "./paths.ts";

const given = JSON.parse(process.env["CAGE_WORKER"] ?? "null") as {
  home: string;
  root: string;
  cage: string;
  node: string;
  watch: boolean;
  again: boolean;
} | null;
if (given === null) throw new Error("the worker is started by its supervisor; use ./cage start NAME");
delete process.env["CAGE_WORKER"];

process.title = `cage ${given.cage}`;

let leaving = false;
function leave(code = 0): void {
  if (leaving) process.exit(code);
  leaving = true;
  cage.stop().then(
    () => process.exit(code),
    (error: Error) => {
      process.stderr.write(`${error.stack}\n`);
      process.exit(1);
    },
  );
}

const link = linkToSupervisor({
  ask: (verb, args) => cage.ask(verb, args),
  drain: () => leave(),
  orphaned: () => leave(),
});

const cage = new Cage({
  paths: pathsOf(given.home, given.root),
  name: given.cage,
  node: given.node,
  watch: given.watch,
  again: given.again,
  link,
  door,
});

process.on("SIGTERM", () => leave());
// Ctrl-C reaches the whole group of a foreground start; the supervisor is who decides.
process.on("SIGINT", () => {});
process.on("unhandledRejection", (reason) => {
  // A promise somebody forgot must not take a service down; it must not go unseen either.
  const error = coded(reason);
  events.emit("log", {
    level: "error",
    message: `unhandled rejection: ${error.message}`,
    fields: { stack: (reason as Error)?.stack ?? String(reason) },
  });
  process.stderr.write(`unhandled rejection: ${(reason as Error)?.stack ?? String(reason)}\n`);
});

events.on("reload.done", (e) => {
  if (e.trigger !== "start")
    link.say(
      `${clock()} ${given.cage}: generation ${e.generation} (${e.files.join(", ")}${e.dependents > 0 ? ` and ${e.dependents} importers` : ""}) in ${e.durationMs.toFixed(0)} ms`,
    );
});
events.on("reload.failed", (e) =>
  link.say(
    `${clock()} ${given.cage}: not reloaded, the old generation serves: ${e.file ? `${e.file}: ` : ""}${e.message}${e.frame ? `\n${e.frame}` : ""}`,
  ),
);

const clock = (): string => new Date().toISOString().slice(11, 23);

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
