/** A cage that nobody can connect to, called over the connection that it opened: two state directories, over TCP. */
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createProject, eventually, freePorts, type Project } from "../kit/project.ts";

const limitMs = 30_000;
let shop: Project;
let edge: Project;
let ports: [number, number];

const dialling = (port: number) => `import { defineCage } from "#runtime";
export const config = defineCage({ dial: ["127.0.0.1:${port}"], allow: { money: ["shop"] } });
`;

beforeAll(async () => {
  ports = (await freePorts(2)) as [number, number];
  shop = createProject(
    {
      "cages/shop/api.ts": `import { cage } from "#runtime";
import type * as Till from "../../../till.ts";
export const ask = (name: string, module: "money" | "safe") =>
  cage<typeof Till>(name)[module].count(2).catch((error: { code: string }) => error.code);
/** Asks on and on; what went wrong. */
export async function keep(ms: number): Promise<unknown[]> {
  const failed: unknown[] = [];
  for (const until = Date.now() + ms; Date.now() < until; await new Promise(setImmediate)) {
    const answer = await ask("till", "money");
    if (typeof answer === "string") failed.push(answer);
  }
  return failed;
}
`,
      "till.ts": `export declare namespace money { const count: (n: number) => number }
export declare namespace safe { const count: (n: number) => number }
`,
      "config/shop.ts": `import { defineCage } from "#runtime";
export const config = defineCage({ typecheck: "off", interfaces: {
  door: { protocol: "rpc", port: ${ports[0]}, reverse: ["till"] },
  side: { protocol: "rpc", port: ${ports[1]}, reverse: ["till"] },
} });
`,
    },
    { CAGE_NODE: "main" },
  );
  const api = `export * as money from "./money.ts";\nexport * as safe from "./money.ts";\n`;
  const money = `import { request } from "#runtime";
export const count = (n: number) => ({ twice: 2 * n, by: request.principal.cage });
`;
  edge = createProject(
    {
      "cages/till/api.ts": api,
      "cages/till/money.ts": money,
      "cages/other/api.ts": api,
      "cages/other/money.ts": money,
      "config/till.ts": dialling(ports[0]),
      "config/other.ts": dialling(ports[0]),
    },
    { CAGE_NODE: "edge" },
  );
  await Promise.all([shop.ok("start"), edge.ok("start")]);
  // As an operator does, once.
  for (const name of ["till", "other"]) copyFileSync(keyIn(edge, name), keyIn(shop, name));
  copyFileSync(keyIn(shop, "shop"), keyIn(edge, "shop"));
}, 60_000);
afterAll(() => Promise.all([shop.remove(), edge.remove()]));

const keyIn = (project: Project, name: string): string => join(project.root, "state/keys", name);
const ask = async (name = "till", module = "money"): Promise<unknown> => {
  const out = await shop.ok("call", "shop", "ask", JSON.stringify(name), JSON.stringify(module));
  return JSON.parse(out) as unknown;
};
const answers = () =>
  eventually("the till answers", async () => ((await ask()) as { twice?: number }).twice === 4, limitMs);
const refusals = async () => (await edge.ok("logs", "till")).split("could not prove it").length;
const kill = async (project: Project, name: string): Promise<void> => {
  const rows = JSON.parse(await project.ok("list", "--json")) as { cage: string; pid: number }[];
  process.kill(rows.find((row) => row.cage === name)?.pid as number, "SIGKILL");
};

it("a cage that only dialled out is called by who is named to, and by its own allow", { timeout: 60_000 }, async () => {
  await answers();
  expect(await ask()).toMatchObject({ twice: 4, by: "shop" });
  expect(await ask("till", "safe")).toBe("FORBIDDEN");
  expect(await ask("other")).toBe("NO_SUCH_CAGE");
  expect(await edge.ok("list")).toContain(`till: dials 127.0.0.1:${ports[0]}: open\n`);
  expect(await shop.ok("list")).toMatch(
    /shop: door \(rpc\): dialledIn till\nshop: side \(rpc\): dialledIn nobody, absent till\n/,
  );
});

it("is called again after either side was killed", { timeout: 90_000 }, async () => {
  await kill(edge, "till");
  await answers();
  await kill(shop, "shop");
  await eventually(
    "the shop is back",
    async () => (await shop.cage("call", "shop", "self.health")).code === 0,
    limitMs,
  );
  await answers();
});

it("goes to another address with a save, and no call fails over it", { timeout: 60_000 }, async () => {
  const kept = shop.ok("call", "shop", "keep", "4000");
  edge.write({ "config/till.ts": dialling(ports[1]) });
  await edge.ok("reload", "till");
  expect(JSON.parse(await kept)).toEqual([]);
  await answers();
  edge.write({ "config/till.ts": dialling(ports[1]).replace("dial:", "dail:") });
  const refused = await edge.cage("reload", "till");
  expect(refused.stdout + refused.stderr).toContain("unknown key; did you mean 'dial'?");
  edge.write({ "config/till.ts": dialling(ports[1]) });
  await edge.ok("reload", "till");
  await answers();
});

it("is not called once its key is not the one that is known, and is when it is again", {
  timeout: 90_000,
}, async () => {
  writeFileSync(keyIn(shop, "till"), "made up");
  const before = await refusals();
  await kill(edge, "till");
  await eventually("it is told so", async () => (await refusals()) > before, limitMs);
  expect(await ask()).toBe("NO_SUCH_CAGE");
  expect(await edge.ok("list")).toMatch(/till: dials \S+: not open, tried again and again: .*could not prove it/);
  copyFileSync(keyIn(edge, "till"), keyIn(shop, "till"));
  await answers();
});

it("is called no more once it stopped", { timeout: 60_000 }, async () => {
  await edge.ok("stop", "till");
  expect(await ask()).toBe("NO_SUCH_CAGE");
});
