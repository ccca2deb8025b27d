/**
 * Calls between two cages, turn by turn in one run with two floors written by hand (rpc/floor.mjs) and Moleculer. Server and
 * client of each are processes of their own. Ours are two real cages, started as in production, with all that a call has:
 * deadline, trace, context, cancellation, proven callers, metrics at both ends. An echo of about 200 bytes and 10 KB, with
 * 1, 32 and 256 calls outstanding.
 *
 * What was tried (the first two on a quiet machine of 2 processors, 200 B at 256; the others by processor time, on a busy one):
 *
 * - A callee that answers what is there at once within the turn that read it, instead of after a promise: 130,000 ->
 *   186,000 calls/s. Of its time 30 % had been collecting garbage: all calls of a chunk lived until the turn's end.
 * - A caller with two promises a call (the engine's, and the author's) instead of six, and no text made that only an error
 *   needs: 186,000 -> 260,000. A larger young generation (32, 64 MB) in the place of both: slower, for the caches.
 * - AsyncLocalStorage.exit once a request (for its alarm): 914 ns against 119 ns for run(undefined), all of it in switching
 *   the hooks of promises off and on.
 * - Our own writer (lib/pack/writer.ts) in the place of msgpackr's: 200 B 437 -> 335 ns, 10 KB 31 -> 18 us; refusing what
 *   cannot be sent costs nothing on the way. Reading is msgpackr's, 450 ns and 8 us.
 * - Reading frames where they lie in the chunk, without a subarray for each: 1,355 -> 915 ns for a call's frame.
 * - Writing early at 1, 4 or 16 KB: 7 to 15 us of processor time a call for both sides together, the kernel's part 0.3 to
 *   1.4, and the noise larger than any difference; 1 KB is kept, as in the floor.
 * - The symbol that makes a call's promise iterable: 8 ns; a subclass of Promise for it: 230 ns.
 * - Signals are made for nobody: who waits is a Request with listeners (engine.ts, Stop), not an AbortSignal (3 us).
 * - Calls under way in places that are used again, in the place of Maps and Sets (lib/numbered.ts): after calls of 10 KB had
 *   been outstanding by hundreds, 200 B cost the caller 6.8 us, and 3.9 us now; 10 KB at 256, 95 us and 45 us. A process
 *   spent a third of its time in scavenges that copied what old tables of the Map kept alive, and never came out of it.
 * - The clock read 6 times by the caller in place of 11, 60 ns each.
 * - Sending what was answered at once with the end of the chunk that asked, not of the turn: nothing, at 1 as at 256.
 * - A young generation of 32 or 64 MB (--max-semi-space-size): no difference that shows in the noise, 25 MB more memory.
 *
 * The first floor keeps its calls in a Map, as most who write one by hand would, and suffers likewise: once it has sent
 * 10 KB (and here all do, to be warm), 200 B take its caller 2.9 us in place of 1.8, and 10 KB twice what they need. So its
 * ratios flatter ours, and there is a second floor with an array in its place (`places_ratio_*`), of which ours is 0.45 at
 * 256; at 1 its p50 is 1.3 to 1.4 of a floor that has sent nothing large.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createProject, freePorts } from "../kit/project.ts";
import { allCells, byHand, type Cell, type Contestant, type Measured, measured, shown } from "./contestant.ts";
import { median, rounded } from "./figures.ts";
import type { Bench } from "./run.ts";

const folder = join(import.meta.dirname, "rpc");

async function cages(): Promise<Contestant> {
  const project = createProject({
    "cages/echo/api.ts": `export const echo = (value: unknown) => value;\n`,
    "cages/load/lanes.ts": readFileSync(join(folder, "lanes.mjs"), "utf8"),
    "cages/load/api.ts": `import { cage } from "#runtime";
import type * as Echo from "../echo/api.ts";
import { lanes } from "./lanes.ts";
const { echo } = cage<typeof Echo>("echo");
export const run = (load: object) => lanes(echo, load);
`,
  });
  await project.ok("start", "--no-watch");
  return {
    name: "ours",
    run: async (load) =>
      JSON.parse(await project.ok("call", "load", "run", JSON.stringify(load), "--timeout", "60000")) as Measured,
    close: () => project.remove(),
  };
}

export const bench: Bench = {
  async run({ quick }) {
    const cells: readonly Cell[] = quick ? ["small 1", "small 256", "large 32"] : allCells;
    const sockets = mkdtempSync(join(tmpdir(), "bench-"));
    const contestants: Contestant[] = [];
    try {
      contestants.push(await byHand("floor", join(folder, "floor.mjs"), [join(sockets, "map"), "map"]));
      contestants.push(await byHand("places", join(folder, "floor.mjs"), [join(sockets, "places"), "places"]));
      contestants.push(await cages());
      contestants.push(await byHand("moleculer", join(folder, "moleculer.mjs"), (await freePorts(2)).map(String)));
      const samples = await measured(contestants, cells, quick);
      return {
        rows: [
          [
            "ECHO",
            "OUTSTANDING",
            "FLOOR/S",
            "WITH PLACES/S",
            "OURS/S",
            "MOLECULER/S",
            "OURS:FLOOR",
            "OURS:PLACES",
            "OURS:MOLECULER",
            "CALLER CPU US",
          ],
          ...cells.map((cell) => [
            ...shown(cell),
            ...contestants.map(({ name }) => samples.rate(name, cell).toFixed(0)),
            samples.ratio("ours", "floor", cell).toFixed(2),
            samples.ratio("ours", "places", cell).toFixed(2),
            samples.ratio("ours", "moleculer", cell).toFixed(2),
            contestants
              .map(({ name }) => median(samples.of(name, cell).map((each) => each.cpuUs)).toFixed(1))
              .join(" / "),
          ]),
        ],
        keys: {
          floor_ratio_256: rounded(samples.ratio("ours", "floor", "small 256")),
          moleculer_ratio_256: rounded(samples.ratio("ours", "moleculer", "small 256")),
          places_ratio_256: rounded(samples.ratio("ours", "places", "small 256")),
          places_ratio_10k: rounded(samples.ratio("ours", "places", "large 32")),
          p50_ratio_1: rounded(samples.ratio("ours", "floor", "small 1", "p50Us")),
          floor_ratio_10k: rounded(samples.ratio("ours", "floor", "large 32")),
          calls_per_s_256: rounded(samples.rate("ours", "small 256"), 0),
          floor_per_s_256: rounded(samples.rate("floor", "small 256"), 0),
        },
      };
    } finally {
      for (const each of contestants) await each.close();
      rmSync(sockets, { recursive: true, force: true });
    }
  },
};
