/** Two nodes, each a state directory of its own, joined by a list and certificates of ./cage keys: called both ways, one killed. */
import { cpSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { keepCalling } from "../kit/calling.ts";
import { createProject, eventually, freePorts, type Project } from "../kit/project.ts";

const limitMs = 30_000;

const shop = `import { cage } from "#runtime";
import type * as Till from "../till/api.ts";
const till = cage<typeof Till>("till");
export const where = (count: number) => Promise.all(Array.from({ length: count }, () => till.here()));
export const at = (node: string) => cage<typeof Till>("till").at(node).here();
export const round = () => cage<typeof Till>("till").at("west").back();
export const here = () => process.env["CAGE_NODE"] as string;
${keepCalling(8)}`;
const till = `import { cage } from "#runtime";
import type * as Shop from "../shop/api.ts";
export const here = () => process.env["CAGE_NODE"] as string;
export const back = async () => \`\${here()} asked \${await cage<typeof Shop>("shop").here()}\`;
`;

describe("two nodes joined by a list", () => {
  let east: Project;
  let west: Project;

  const listed = (nodes: object): string => `import { defineCage } from "#runtime";
export const config = defineCage({ typecheck: "off", engine: { kind: "static", nodes: ${JSON.stringify(nodes)} } });
`;
  const give = (from: Project, node: string, to: Project): void => {
    mkdirSync(join(to.root, "state"), { recursive: true });
    cpSync(join(from.root, "state", "authority", node), join(to.root, "state", "keys"), { recursive: true });
  };

  beforeAll(async () => {
    const [a, b, c] = await freePorts(3);
    const files = {
      "config/cluster.ts": listed({
        east: { shop: `127.0.0.1:${a}`, till: `127.0.0.1:${b}` },
        west: { till: `127.0.0.1:${c}` },
      }),
      "cages/shop/api.ts": shop,
      "cages/till/api.ts": till,
    };
    east = createProject(files, { CAGE_NODE: "east" });
    west = createProject(files, { CAGE_NODE: "west" });
    await east.ok("keys", "authority");
    await east.ok("keys", "node", "east", "west");
    give(east, "east", east);
    give(east, "west", west);
    await Promise.all([east.ok("start", "shop"), east.ok("start", "till"), west.ok("start", "till")]);
  }, 60_000);
  afterAll(async () => {
    await Promise.all([east?.remove(), west?.remove()]);
  });

  const ask = async (path: string, ...args: unknown[]): Promise<unknown> =>
    JSON.parse(await east.ok("call", "shop", path, ...args.map((arg) => JSON.stringify(arg))));
  const both = () =>
    eventually("calls go to both nodes", async () => new Set((await ask("where", 50)) as string[]).size === 2, limitMs);

  it("need certificates before they start, and say how to make them", async () => {
    const alone = createProject(
      { "config/cluster.ts": listed({ alone: {} }), "cages/till/api.ts": till },
      { CAGE_NODE: "alone" },
    );
    try {
      const without = await alone.cage("start", "till");
      expect(without.code).not.toBe(0);
      expect(without.stderr).toContain("state/keys/ca.pem cannot be read");
      expect(without.stderr).toContain("./cage keys node alone");
      expect((await alone.cage("keys", "node", "alone")).stderr).toContain("./cage keys authority");
      const printed = [await alone.ok("keys", "authority"), await alone.ok("keys", "node", "alone", "other")].join("");
      expect(printed).toContain("state/authority/other/{ca,node,node-key}.pem");
      expect(printed).not.toContain("PRIVATE KEY");
      expect((await alone.ok("keys")).match(/^\S+/gm)).toEqual(["NODE", "the", "alone", "other"]);
      give(alone, "alone", alone);
      await alone.ok("start", "till");
    } finally {
      await alone.remove();
    }
  }, 60_000);

  it("call each other both ways, share the calls of a cage that both run, and reach one by its name", async () => {
    await both();
    expect(await ask("at", "west")).toBe("west");
    expect(await ask("at", "east")).toBe("east");
    expect(await ask("round")).toBe("west asked east");
    expect((await east.cage("call", "shop", "at", '"north"')).stderr).toContain("till does not run on node north");
  }, 60_000);

  it("lose no call of another node to a rolling restart", async () => {
    await both();
    const before = (await ask("soFar")) as Record<string, number>;
    const kept = ask("keep");
    await west.ok("restart", "till", "--rolling");
    await kept;
    const { west: served = 0, ...rest } = (await ask("soFar")) as Record<string, number>;
    expect(Object.keys(rest)).toEqual(["east"]);
    expect(served).toBeGreaterThan(before["west"] ?? 0);
    await both();
  }, 60_000);

  it("take calls from one that was killed within 2 s, and give it some when it is back", async () => {
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
    expect((await east.cage("call", "shop", "at", '"west"')).stderr).toContain("west.till at 127.0.0.1:");
    await west.ok("start", "till");
    await both();
  }, 60_000);

  it("do not let in a node of another authority, and say so on both sides", async () => {
    await west.ok("stop");
    const listing = readFileSync(join(east.root, "config/cluster.ts"), "utf8");
    const files = { "config/cluster.ts": listing, "cages/till/api.ts": till, "cages/shop/api.ts": shop };
    const stranger = createProject(files, { CAGE_NODE: "west" });
    try {
      await stranger.ok("keys", "authority");
      await stranger.ok("keys", "node", "west");
      give(stranger, "west", stranger);
      await stranger.ok("start", "till");
      const refused = await stranger.cage("call", "till", "back");
      expect(refused.code).not.toBe(0);
      expect(refused.stderr).toContain("not of this cluster's authority");
      expect((await east.cage("call", "shop", "at", '"west"')).stderr).toContain("not of this cluster's authority");
    } finally {
      await stranger.remove();
    }
  }, 60_000);
});
