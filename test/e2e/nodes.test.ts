/** Two nodes, each a state directory of its own, joined over NATS by their configuration: started, called, one killed. */
import { afterAll, beforeAll, expect } from "vitest";
import { keepCalling } from "../kit/calling.ts";
import { type NatsServer, natsServer } from "../kit/nats.ts";
import { needing } from "../kit/needs.ts";
import { createProject, eventually, type Project } from "../kit/project.ts";

const { describe, it } = needing("nats");
const limitMs = 30_000;

describe("two nodes joined over NATS", () => {
  let server: NatsServer;
  let east: Project;
  let west: Project;

  beforeAll(async () => {
    server = await natsServer();
    const files = {
      "config/cluster.ts": `import { defineCage } from "#runtime";
export const config = defineCage({ typecheck: "off", engine: { kind: "nats", servers: ["${server.address}"] } });
`,
      "cages/shop/api.ts": `import { cage } from "#runtime";
import type * as Till from "../till/api.ts";
const till = cage<typeof Till>("till");
export const where = (count: number) => Promise.all(Array.from({ length: count }, () => till.here()));
export const at = (node: string) => cage<typeof Till>("till").at(node).here();
${keepCalling(16)}`,
      "cages/till/api.ts": `export const here = () => process.env["CAGE_NODE"] as string;
`,
    };
    east = createProject(files, { CAGE_NODE: "east" });
    west = createProject(files, { CAGE_NODE: "west" });
    await Promise.all([east.ok("start", "shop"), east.ok("start", "till"), west.ok("start", "till")]);
  }, 60_000);
  afterAll(async () => {
    await Promise.all([east?.remove(), west?.remove()]);
    await server?.stop();
  });

  const ask = async (path: string, ...args: unknown[]): Promise<unknown> =>
    JSON.parse(await east.ok("call", "shop", path, ...args.map((arg) => JSON.stringify(arg))));
  const both = () =>
    eventually("calls go to both nodes", async () => new Set((await ask("where", 50)) as string[]).size === 2, limitMs);

  it("share the calls of a cage that runs on both, and one is reached by its name", async () => {
    await both();
    expect(await ask("at", "west")).toBe("west");
    expect(await ask("at", "east")).toBe("east");
    const refused = await east.cage("call", "shop", "at", '"north"');
    expect(refused.stderr).toContain("till does not run on node north");
  });

  it("take calls from one that was killed within 2 s", async () => {
    await both();
    const kept = ask("keep");
    const soFar = async () => (await ask("soFar")) as Record<string, number>;
    await eventually("both answer", async () => ((await soFar())["west"] ?? 0) > 0, limitMs);
    await west.kill("till");
    expect(await kept).toBeLessThan(2_000);
    // It was called to the end, and what was lost by the kill was said to be.
    const { east: by, west: until, ...failed } = await soFar();
    expect(by).toBeGreaterThan(until as number);
    expect(Object.keys(failed).filter((code) => !["UNKNOWN_OUTCOME", "UNAVAILABLE"].includes(code))).toEqual([]);
    await west.ok("start", "till");
    await both();
  });

  it("refuse a node that comes with a name that is taken", async () => {
    const again = createProject(
      { "config/cluster.ts": configOf(server), "cages/till/api.ts": "" },
      { CAGE_NODE: "west" },
    );
    try {
      const ran = await again.cage("start", "till");
      expect(ran.code).not.toBe(0);
      expect(ran.stderr).toContain("another node of the cluster is called west as well");
    } finally {
      await again.remove();
    }
  });
});

const configOf = ({ address }: NatsServer): string => `import { defineCage } from "#runtime";
export const config = defineCage({ engine: { kind: "nats", servers: ["${address}"] } });
`;
