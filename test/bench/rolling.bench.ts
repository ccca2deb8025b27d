/**
 * Rolling restarts under load: requests over HTTP keep-alive, server-sent events, our Thrift client, calls from another cage
 * and retried calls, while a cage of two processes is restarted 20 times. Against a quiet run of the same load, just before,
 * in the same processes. What fails is counted; retried calls count as failed when they had no effect, or two. The p99 is of
 * all requests that have one answer.
 *
 * What a Thrift client sees that cannot be told to leave is counted apart (`foreign_failed`): Apache's own would have to be
 * idle for a moment to be closed between two calls.
 */
import { createProject, freePorts } from "../kit/project.ts";
import { type Sample, startTraffic, underLoad } from "../kit/traffic.ts";
import { ms, percentile, rounded } from "./figures.ts";
import type { Bench } from "./run.ts";

export const bench: Bench = {
  async run({ quick }) {
    const restarts = quick ? 1 : 20;
    const [web, thrift, load] = (await freePorts(3)) as [number, number, number];
    const project = createProject(underLoad({ web, thrift, load }));
    try {
      await project.ok("start", "--no-watch");
      const traffic = await startTraffic(project, { web, thrift, load });
      // Warm, all of it.
      await traffic.take(quick ? 500 : 3_000);
      const quiet = await traffic.take(quick ? 2_000 : 20_000);
      for (let restart = 0; restart < restarts; restart++) await project.ok("restart", "shop", "--rolling");
      const rolled = await traffic.take(0);
      const { samples, taken, effects } = await traffic.stop();
      const failed = [...quiet, ...rolled, ...samples].filter(({ error }) => error !== undefined);
      const foreign = failed.filter(({ kind }) => kind === "foreign").length;
      // A call without its effect, an effect twice.
      const astray = effects.length - new Set(effects).size + taken.filter((id) => !effects.includes(id)).length;
      const [before, during] = [answeredOnce(quiet), answeredOnce(rolled)];
      const row = (name: string, times: readonly number[]): readonly string[] => [
        name,
        String(times.length),
        ms(percentile(times, 0.5)),
        ms(percentile(times, 0.99)),
      ];
      return {
        rows: [["RUN", "REQUESTS", "P50 MS", "P99 MS"], row("quiet", before), row(`${restarts} restarts`, during)],
        keys: {
          failed_requests: failed.length - foreign + astray,
          p99_ratio: rounded(percentile(during, 0.99) / percentile(before, 0.99)),
          foreign_failed: foreign,
        },
      };
    } finally {
      await project.remove();
    }
  },
};

const answeredOnce = (samples: readonly Sample[]): readonly number[] =>
  samples.filter(({ kind }) => kind !== "events" && kind !== "foreign").map((sample) => sample.ms);
