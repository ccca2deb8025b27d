/**
 * Builds the runtime into the folder given: one bundle for each program there is (command line, supervisor, worker, its
 * threads, tests), with what is loaded late in chunks of its own. Run by boot.mjs, under tsx, when the sources changed.
 */
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle } from "../../lib/assets/bundle.ts";

const home = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const folder = process.argv[2];
if (folder === undefined) throw new Error("usage: build.ts FOLDER");

// Built beside and moved into place: another start at the same moment must never load half a build.
const beside = `${folder}.${process.pid}`;
mkdirSync(dirname(folder), { recursive: true });
await bundle({
  entries: {
    main: join(home, "runtime/cli/main.ts"),
    supervise: join(home, "runtime/cage/supervise.ts"),
    thread: join(home, "runtime/cage/thread.ts"),
    worker: join(home, "runtime/cage/worker.ts"),
    tests: join(home, "runtime/testing/child.ts"),
  },
  outdir: beside,
  platform: "node",
  root: home,
  splitting: true,
  sourcemap: "linked",
});
try {
  renameSync(beside, folder);
} catch {
  // Somebody else was faster; theirs has the same content.
  rmSync(beside, { recursive: true, force: true });
}
