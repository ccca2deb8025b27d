/**
 * Live modules in figures: how soon a save answers, what a reload costs, what it leaves behind, what users notice.
 *
 *     p50_ms p95_ms        a save (write beside, rename) of a leaf of 100 modules -> new code has answered over HTTP
 *     importers50_p50_ms   the same for a module with 50 importers
 *     floor_ratio          a reload by command : a bare transform-and-evaluate of the same files
 *     warm1000_ms          ./cage start of a cage of 1,000 modules, compiled before -> it returned, the cage ready
 *     heap_growth_mb       the fitted slope of the collected heap of reloads of 1 MB, times 10,000
 *     failed_requests      under load at 70 % with a save each 250 ms, every fourth broken
 *     p99_ratio            p99 with those saves : without; the 100 modules share the work of a request, 8 are made anew
 *     p99_ratio_kept       the same, all work done in a module that they leave alone
 *     p99_ratio_anew       the same, all work done in a module that each makes anew: V8 has to optimize it each time
 *     block_ms_p95         the longest hold-up of the cage's event loop around a save of the leaf
 *     call_ratio           a call between modules : the same in Node's own, of about 100 ns
 *
 * The long form reloads 10,000 times and loads for 60 s with saves and 60 s without, a third of it for each of the three.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createProject, freePorts } from "../kit/project.ts";
import { median, ms, percentile, rounded } from "./figures.ts";
import { config, hub, hubModule, sums, tree, treeModule, treeSize, web } from "./reload/cages.ts";
import { calls } from "./reload/calls.ts";
import { load } from "./reload/load.ts";
import { floor, leftBehind } from "./reload/loader.ts";
import { saves } from "./reload/saves.ts";
import type { Bench } from "./run.ts";

export const bench: Bench = {
  async run({ quick }) {
    const [one, two] = (await freePorts(2)) as [number, number];
    const project = createProject({
      ...tree("hundred", treeSize),
      "cages/hundred/web.ts": web("m0.ts"),
      "cages/hundred/sums.ts": sums,
      "config/hundred.ts": config(one),
      ...hub("fifty"),
      "cages/fifty/web.ts": web("all.ts"),
      "cages/fifty/sums.ts": sums,
      "config/fifty.ts": config(two),
      ...tree("thousand", 1_000),
    });
    const leafText = (version: number) => treeModule(treeSize - 1, treeSize, version);
    const leaf = { port: one, file: join(project.root, `cages/hundred/m${treeSize - 1}.ts`), text: leafText };
    try {
      await project.ok("start", "hundred", "fifty");
      const saved = await saves({ ...leaf, count: quick ? 14 : 200 });
      const many = await saves({
        port: two,
        file: join(project.root, "cages/fifty/hub.ts"),
        text: hubModule,
        count: quick ? 6 : 60,
      });
      await project.ok("stop", "fifty");
      const loads = { ...leaf, rounds: quick ? 1 : 10, roundMs: quick ? 1_250 : 2_000 };
      const shared = await load({ ...loads, where: "work", firstVersion: 1_000 });
      const kept = await load({ ...loads, where: "kept", firstVersion: 10_000 });
      const anew = await load({ ...loads, where: "anew", firstVersion: 100_000 });
      await project.ok("stop", "hundred");
      const starts: number[] = [];
      // The first one compiles.
      for (let at = 0; at <= (quick ? 1 : 5); at++) {
        const startedAt = performance.now();
        await project.ok("start", "thousand");
        if (at > 0) starts.push(performance.now() - startedAt);
        await project.ok("stop", "thousand");
      }
      const alone = await inProcess(quick);
      const { taken, blocked, unblocked } = saved;
      return {
        rows: [
          ["", "P50", "P95", "OF"],
          [
            `save -> answered, a leaf of ${treeSize}, ms`,
            ms(median(taken)),
            ms(percentile(taken, 0.95)),
            `${taken.length}`,
          ],
          [
            "the same with 50 importers, ms",
            ms(median(many.taken)),
            ms(percentile(many.taken, 0.95)),
            `${many.taken.length}`,
          ],
          [
            "event loop held up around a save, ms",
            ms(median(blocked)),
            ms(percentile(blocked, 0.95)),
            `${blocked.length}`,
          ],
          [
            "the same without a save, ms",
            ms(median(unblocked)),
            ms(percentile(unblocked, 0.95)),
            `${unblocked.length}`,
          ],
          ["./cage start, 1,000 modules compiled before, ms", ms(median(starts)), "", `${starts.length}`],
          ["reload by command, ms", ms(alone.floor.ours), "", ""],
          ["bare transform and evaluate of the same, ms", ms(alone.floor.bare), "", ""],
          [
            `heap, MB in 10,000 reloads of 1 MB (${ms(alone.left.takenMs)} ms each)`,
            alone.left.heapGrowthMb.toFixed(2),
            "",
            `${alone.reloads}`,
          ],
          [`handles before and after: ${alone.left.handlesBefore} and ${alone.left.handlesAfter}`, "", "", ""],
          ...Object.entries({ "of all modules": shared, "of one left alone": kept, "of one made anew": anew }).map(
            ([whose, each]) => [
              `p99 with saves ${ms(each.p99Ms)} ms, without ${ms(each.quietP99Ms)}; the work ${whose}; ${Math.round(each.rate)} requests/s, ${each.failed} failed, ${each.generations} generations`,
              "",
              "",
              `${each.sent}`,
            ],
          ),
          [`a call between modules ${ms(alone.calls.ours)} ns, Node's own ${ms(alone.calls.native)} ns`, "", "", ""],
          [
            `a request's context ${ms(alone.calls.context)} ns to read, ${ms(alone.calls.enter)} ns to enter`,
            "",
            "",
            "",
          ],
        ],
        keys: {
          p50_ms: rounded(median(taken)),
          p95_ms: rounded(percentile(taken, 0.95)),
          importers50_p50_ms: rounded(median(many.taken)),
          floor_ratio: rounded(alone.floor.ours / alone.floor.bare),
          warm1000_ms: rounded(median(starts)),
          heap_growth_mb: rounded(alone.left.heapGrowthMb),
          failed_requests: shared.failed + kept.failed + anew.failed,
          p99_ratio: rounded(shared.p99Ms / shared.quietP99Ms),
          p99_ratio_kept: rounded(kept.p99Ms / kept.quietP99Ms),
          p99_ratio_anew: rounded(anew.p99Ms / anew.quietP99Ms),
          block_ms_p95: rounded(percentile(blocked, 0.95)),
          call_ratio: rounded(alone.calls.ours / alone.calls.native, 3),
          saves: taken.length,
          block_ms_p95_idle: rounded(percentile(unblocked, 0.95)),
          handles_grown: alone.left.handlesAfter - alone.left.handlesBefore,
          context_ns: rounded(alone.calls.context, 1),
        },
      };
    } finally {
      await project.remove();
    }
  },
};

async function inProcess(quick: boolean) {
  const root = mkdtempSync(join(tmpdir(), "cage-bench-"));
  const cage = createProject(tree("bench", treeSize));
  try {
    writeFileSync(join(root, "package.json"), `{"type":"module"}`);
    const reloads = quick ? 800 : 10_000;
    // V8 warms up over the first thousand, by some megabytes that are no module's: compiled code, caches of its own.
    await leftBehind(root, 750);
    return {
      floor: await floor(cage.root, "bench", quick ? 40 : 300),
      calls: await calls(root),
      left: await leftBehind(root, reloads),
      reloads,
    };
  } finally {
    rmSync(root, { recursive: true, force: true });
    rmSync(cage.root, { recursive: true, force: true });
  }
}
