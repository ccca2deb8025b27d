/**
 * One of two processes of a cage is killed under load (SIGKILL): how long until the last caller is served again. Callers
 * are HTTP and Thrift clients that keep their connections, and another cage; each asks again at once when it fails, and is
 * served again with its first answer to a question that it asked after the kill. Both are killed in turn; the longest
 * of all kills counts.
 *
 * Calls that shall be made durable are apart (`durable_gap_ms`): their journal has one writer, the first process, and when
 * that is killed they wait until it has been started again.
 */
import type { InstanceStatus } from "../../runtime/cli/instances.ts";
import { createProject, eventually, freePorts } from "../kit/project.ts";
import { startTraffic, underLoad } from "../kit/traffic.ts";
import { ms, rounded } from "./figures.ts";
import type { Bench } from "./run.ts";

export const bench: Bench = {
  async run({ quick }) {
    const kills = quick ? 1 : 8;
    const [web, thrift, load] = (await freePorts(3)) as [number, number, number];
    const project = createProject(underLoad({ web, thrift, load }));
    try {
      await project.ok("start", "--no-watch");
      const status = async (): Promise<InstanceStatus> => {
        const rows = JSON.parse(await project.ok("list", "--json")) as InstanceStatus[];
        return rows.find((row) => row.cage === "shop") as InstanceStatus;
      };
      const traffic = await startTraffic(project, { web, thrift, load });
      const rows: string[][] = [["KILLED", "FAILED", "LAST SERVED AGAIN MS", "MADE DURABLE AGAIN MS"]];
      let [longest, durable] = [0, 0];
      for (let kill = 0; kill < kills; kill++) {
        const row = await eventually(
          "both serve",
          async () => {
            const row = await status();
            return row.state === "ready" && row.others.some(({ worker }) => worker !== undefined) && row;
          },
          60_000,
        );
        // Past the pause in which a crash counts as one of several.
        await traffic.take(1_000);
        const [first, other] = [row.pid, row.others[0]?.pid];
        const at = Date.now();
        process.kill((kill % 2 === 0 ? other : first) as number, "SIGKILL");
        const seen = (await traffic.take(2_500)).filter(({ kind }) => kind !== "events");
        // Of each caller the first question after the kill that was answered: when that was.
        const again = new Map<string, number>();
        for (const { kind, lane, asked, ms, error } of seen) {
          const caller = `${kind} ${lane}`;
          if (asked >= at && error === undefined && !again.has(caller)) again.set(caller, asked + ms - at);
        }
        const longestOf = (durable: boolean) =>
          Math.max(...[...again].flatMap(([caller, at]) => (caller.startsWith("retried") === durable ? [at] : [])));
        const gap = longestOf(false);
        durable = Math.max(durable, longestOf(true));
        const failed = seen.filter(({ error }) => error !== undefined).length;
        longest = Math.max(longest, gap);
        rows.push([kill % 2 === 0 ? "the other" : "the first", String(failed), ms(gap), ms(longestOf(true))]);
      }
      await traffic.stop();
      return { rows, keys: { gap_ms: rounded(longest, 1), durable_gap_ms: rounded(durable, 1) } };
    } finally {
      await project.remove();
    }
  },
};
