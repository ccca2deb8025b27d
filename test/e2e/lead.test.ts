/** A schedule of a cage that runs on two nodes, joined over NATS: who fires, and who does when that one is lost. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { type NatsServer, natsServer } from "../kit/nats.ts";
import { needing } from "../kit/needs.ts";
import { createProject, eventually, type Project } from "../kit/project.ts";

const { describe, it } = needing("nats");
const limitMs = 30_000;

describe("a schedule on two nodes joined over NATS", () => {
  const folder = mkdtempSync(join(tmpdir(), "fired-"));
  const file = join(folder, "fired");
  const projects: Record<string, Project> = {};
  let server: NatsServer;

  beforeAll(async () => {
    server = await natsServer();
    appendFileSync(file, "");
    const files = {
      "config/cluster.ts": `import { defineCage } from "#runtime";
export const config = defineCage({ typecheck: "off", engine: { kind: "nats", servers: ["${server.address}"] } });
`,
      "config/shop.ts": `import { defineCage } from "#runtime";
export const config = defineCage({ interfaces: {
  tick: { protocol: "schedule", every: 500 },
  own: { protocol: "schedule", every: 500, everywhere: true },
} });
`,
      "cages/shop/fired.ts": `import { appendFileSync } from "node:fs";
export const fired = (what: string) =>
  appendFileSync(${JSON.stringify(file)}, \`\${what} \${process.env["CAGE_NODE"]}\\n\`);
`,
      "cages/shop/tick.ts": `import { fired } from "./fired.ts";
export const fire = () => fired("tick");
`,
      "cages/shop/own.ts": `import { fired } from "./fired.ts";
export const fire = () => fired("own");
`,
    };
    for (const node of ["east", "west"]) projects[node] = createProject(files, { CAGE_NODE: node });
    await Promise.all(Object.values(projects).map((project) => project.ok("start", "shop")));
  }, 60_000);
  afterAll(async () => {
    await Promise.all(Object.values(projects).map((project) => project.remove()));
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The nodes that fired, in order. */
  const fired = (what: string): string[] =>
    readFileSync(file, "utf8")
      .split("\n")
      .map((line) => line.split(" "))
      .flatMap(([of, node = ""]) => (of === what ? [node] : []));
  const firesAgain = async (by = "") => {
    const before = fired("tick").length;
    const since = () => fired("tick").slice(before);
    await eventually(
      `${by || "one"} fires`,
      () => (since().filter((node) => node.startsWith(by)).length >= 3 ? true : undefined),
      limitMs,
    );
  };
  const leader = async (): Promise<string> =>
    await eventually("one leads", async () => {
      const { interfaces } = JSON.parse(await (projects["east"] as Project).ok("call", "shop", "self.describe")) as {
        interfaces: { name: string; status?: { "led by": string | null } }[];
      };
      return interfaces.find(({ name }) => name === "tick")?.status?.["led by"] ?? undefined;
    });

  it("fires on one of them, and on both where it is to; when the one is killed, the other fires; never both", async () => {
    const first = await leader();
    const second = first === "east" ? "west" : "east";
    await firesAgain(first);
    expect(new Set(fired("own"))).toEqual(new Set(["east", "west"]));
    expect(new Set(fired("tick"))).toEqual(new Set([first]));
    await (projects[first] as Project).kill("shop");
    await firesAgain(second);
    // One that comes back leaves it to who leads; it leads when that one drains.
    await (projects[first] as Project).ok("start", "shop");
    await firesAgain(second);
    await (projects[second] as Project).ok("stop", "shop");
    await firesAgain(first);
    await (projects[second] as Project).ok("start", "shop");
    const turns = fired("tick").filter((node, at, all) => node !== all[at - 1]);
    expect(turns).toEqual([first, second, first]);
  }, 90_000);

  it("fires nowhere while NATS is down, and goes on when it is back", async () => {
    const first = await leader();
    await firesAgain(first);
    await server.kill();
    await eventually(
      "the loss is said",
      async () => {
        const said = await (projects[first] as Project).ok("logs", "shop");
        return said.includes("which no node does that does not reach shared memory") ? true : undefined;
      },
      limitMs,
    );
    const before = fired("tick").length;
    const own = fired("own").length;
    await eventually("time passes", () => (fired("own").length > own + 4 ? true : undefined), limitMs);
    expect(fired("tick").length).toBe(before);
    await server.start();
    await firesAgain();
  }, 90_000);
});
