/**
 * Calls between cages of two nodes over one NATS server, turn by turn in one run with a bare request and reply of the
 * same client with the same codec (nats/bare.ts). Server and client of each are processes of their own. Ours are two real
 * nodes, started as in production, with all that a call has: deadline, trace, context, cancellation, proven callers, beats,
 * flow control, metrics at both ends. An echo of about 200 bytes and 10 KB, with 1, 32 and 256 calls outstanding.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { natsServer } from "../kit/nats.ts";
import { createProject, eventually } from "../kit/project.ts";
import {
  allCells,
  byHand,
  type Cell,
  type Contestant,
  type Load,
  type Measured,
  measured,
  shown,
} from "./contestant.ts";
import { median, rounded } from "./figures.ts";
import type { Bench } from "./run.ts";

async function nodes(address: string): Promise<Contestant> {
  const cluster = `import { defineCage } from "#runtime";
export const config = defineCage({ engine: { kind: "nats", servers: ["${address}"] } });
`;
  const echo = createProject(
    { "config/cluster.ts": cluster, "cages/echo/api.ts": `export const echo = (value: unknown) => value;\n` },
    { CAGE_NODE: "echoing" },
  );
  const load = createProject(
    {
      "config/cluster.ts": cluster,
      "cages/load/lanes.ts": readFileSync(join(import.meta.dirname, "rpc/lanes.mjs"), "utf8"),
      "cages/load/api.ts": `import { cage } from "#runtime";
import { lanes } from "./lanes.ts";
const { echo } = cage<{ echo(value: unknown): unknown }>("echo");
export const run = (load: object) => lanes(echo, load);
`,
    },
    { CAGE_NODE: "loading" },
  );
  await Promise.all([echo.ok("start", "--no-watch"), load.ok("start", "--no-watch")]);
  const run = async (load_: Load) =>
    JSON.parse(await load.ok("call", "load", "run", JSON.stringify(load_), "--timeout", "60000")) as Measured;
  await eventually("the nodes know each other", () => run({ size: "small", outstanding: 1, ms: 1 }));
  return { name: "ours", run, close: async () => void (await Promise.all([echo.remove(), load.remove()])) };
}

export const bench: Bench = {
  async run({ quick }) {
    const cells: readonly Cell[] = quick ? ["small 256"] : allCells;
    const server = await natsServer();
    const contestants: Contestant[] = [];
    try {
      const bare = join(import.meta.dirname, "nats/bare.mjs");
      // It imports our codec as it stands in lib/.
      contestants.push(await byHand("bare", bare, [server.address], ["--import", "tsx"]));
      contestants.push(await nodes(server.address));
      const samples = await measured(contestants, cells, quick);
      return {
        rows: [
          ["ECHO", "OUTSTANDING", "BARE/S", "OURS/S", "OURS:BARE", "CALLER CPU US"],
          ...cells.map((cell) => [
            ...shown(cell),
            ...contestants.map(({ name }) => samples.rate(name, cell).toFixed(0)),
            samples.ratio("ours", "bare", cell).toFixed(2),
            contestants
              .map(({ name }) => median(samples.of(name, cell).map((each) => each.cpuUs)).toFixed(1))
              .join(" / "),
          ]),
        ],
        keys: {
          nats_ratio: rounded(samples.ratio("ours", "bare", "small 256")),
          calls_per_s: rounded(samples.rate("ours", "small 256"), 0),
          bare_per_s: rounded(samples.rate("bare", "small 256"), 0),
        },
      };
    } finally {
      for (const each of contestants) await each.close();
      await server.stop();
    }
  },
};
