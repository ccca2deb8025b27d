/** ./cage config of a cage that does not run: the same answer as of one that does, and nothing is left behind. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createProject, freePorts, type Project } from "../kit/project.ts";

let project: Project;
let port: number;
const shop = (settings: string) => `import { defineCage, secret } from "#runtime";
import { limits } from "../cages/shop/sub/limits.ts";
export const config = defineCage({
  interfaces: { web: { protocol: "http", port: ${port} } },
  resources: { db: { protocol: "sqlite", file: "shop.sqlite", migrations: [] } },
  settings: { ${settings}, limits, key: secret("key") },
});
`;

beforeAll(async () => {
  [port] = (await freePorts(1)) as [number];
  project = createProject(
    {
      "cages/shop/web.ts": `throw new Error("no module of the cage itself is wanted");\n`,
      "cages/shop/sub/limits.ts": `export const limits = { most: 7 };\n`,
      "config/cluster.ts": `export const config = { timeoutMs: 7_000, settings: { currency: "CHF" } };\n`,
      "config/shop.ts": shop(`currency: "USD"`),
    },
    { CAGE_CONFIG__shop__running: "12" },
  );
});
afterAll(() => project.remove());

it("tells what the files say, each value with its origin, and opens and makes nothing", async () => {
  const { code, stdout, stderr } = await project.cage("config", "shop");
  expect([code, stderr]).toEqual([0, "cage: shop does not run; this is what its files say\n"]);
  expect(stdout).toMatch(/settings\.limits\.most +7 +cage: config\/shop\.ts/);
  expect(stdout).toMatch(/interfaces\.web\.timeoutMs +7000 +cluster: config\/cluster\.ts/);
  expect(stdout).toMatch(/settings\.key +secret\(key\)/);
  expect(await project.ok("config", "shop", "--why", "settings.currency")).toBe(
    "settings.currency = USD\n  cage: config/shop.ts\n  over CHF of cluster: config/cluster.ts\n",
  );
  expect(readdirSync(project.root).sort()).toEqual(["cages", "config"]);
});

it("says the same once it runs", async () => {
  const before = JSON.parse(await project.ok("config", "shop", "--json"));
  project.write({ "cages/shop/web.ts": `export const routes = {};\n` });
  await project.ok("start", "shop");
  const { stdout, stderr } = await project.cage("config", "shop", "--json");
  expect([JSON.parse(stdout), stderr]).toEqual([before, ""]);
  expect(existsSync(join(project.root, "state"))).toBe(true);
  await project.ok("stop", "shop");
});

it("shows what is wrong with its place, whatever is wrong, and exits with 1", async () => {
  const tell = async (text: string) => {
    project.write({ "config/shop.ts": text });
    const { code, stdout, stderr } = await project.cage("config", "shop");
    expect([code, stdout]).toEqual([1, ""]);
    return stderr;
  };
  const misspelt = await tell(shop(`currency: "USD"`).replace("port:", "prt:"));
  expect(misspelt).toContain("config/shop.ts: interfaces.web.prt: unknown key; did you mean 'port'?");
  expect(misspelt).toMatch(/> 4 \|.*prt: /);
  expect(await tell(shop(`currency: `))).toMatch(/config\/shop\.ts:6:\d+: [\s\S]*> 6 \|/);
  expect(await tell(shop(`currency: "USD"`).replace("{ limits }", "{ limit }"))).toMatch(
    /config\/shop\.ts:2:\d+: "\.\.\/cages\/shop\/sub\/limits\.ts" has no export "limit"; it has limits[\s\S]*> 2 \|/,
  );
  expect(await tell(`throw new Error("not today");\n`)).toMatch(
    /config\/shop\.ts:1:\d+: threw while loading: not today/,
  );
});

it("names the nearest of a cage that is none", async () => {
  const { code, stderr } = await project.cage("config", "shp");
  expect([code, stderr]).toEqual([2, expect.stringContaining("did you mean 'shop'?")]);
});
