/** The supervisor as a process of its own: what `./cage start` leaves running. Told what to do in CAGE_SUPERVISOR. */
import { closeSync, writeSync } from "node:fs";
import { coded } from "../errors.ts";
import { pathsOf } from "./paths.ts";
import { Supervisor } from "./supervisor.ts";
import { inheritance } from "./upgrade.ts";

const given = JSON.parse(process.env["CAGE_SUPERVISOR"] ?? "null") as {
  home: string;
  root: string;
  cage: string;
  worker: string;
  watch: boolean;
  inspect?: number;
  /** It takes over from the supervisor that started it. */
  heir?: boolean;
} | null;
if (given === null) throw new Error("the supervisor is started by ./cage start NAME");
delete process.env["CAGE_SUPERVISOR"];
process.title = `cage-supervisor ${given.cage}`;

/** A pipe to whoever started us, for one line; they may be gone by then. */
const starter = 3;
const tell = (outcome: unknown): void => {
  try {
    writeSync(starter, `${JSON.stringify(outcome)}\n`);
    closeSync(starter);
  } catch {
    // Nobody waits any more.
  }
};

const supervisor = new Supervisor({
  paths: pathsOf(given.home, given.root),
  cage: given.cage,
  workerFile: given.worker,
  watch: given.watch,
  ...(given.inspect === undefined ? {} : { inspect: given.inspect }),
  foreground: false,
  notify: tell,
});

async function takeOver(): Promise<void> {
  const estate = await inheritance();
  await supervisor.inherit(estate).catch(async (error: unknown) => {
    await estate.fail(coded(error));
    throw error;
  });
}

(given.heir ? takeOver() : supervisor.start()).catch((error: unknown) => {
  const { code, message } = coded(error);
  tell({ ok: false, code, message, stderr: [] });
  process.exit(1);
});
