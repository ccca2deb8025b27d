/** One request through all of Planet: from a proxy to Surface (HTTP), Impact (Thrift) and Core (a call), in real processes. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createPlanet, type Planet } from "../kit/planet.ts";
import { eventually } from "../kit/project.ts";

let planet: Planet;

interface Line {
  readonly message: string;
  readonly level: string;
  readonly trace?: string;
  readonly fields?: { readonly left: number };
}

const linesOf = (cage: string): Line[] => {
  const file = join(planet.root, "logs", cage, "cage.log");
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Line);
};

/** Has a function of the copied cage say what it knows of its request. */
function telling(path: string, before: string, after: string): void {
  const text = readFileSync(join(planet.root, path), "utf8");
  expect(text).toContain(before);
  const tells = 'log.debug("asked for threads", { left: request.remaining })';
  planet.write({
    [path]: `import { log, request } from "#runtime";\n${text.replace(before, after.replace("TELL", tells))}`,
  });
}

beforeAll(async () => {
  planet = await createPlanet();
  planet.env["CAGE_CONFIG__surface__interfaces__web__trusted"] = '["127.0.0.1", "::1"]';
  planet.env["CAGE_CONFIG__surface__interfaces__web__deadlineHeader"] = '"x-deadline-ms"';
  telling("cages/impact/forum.ts", "  core.threads.list(", "  TELL ?? core.threads.list(");
  telling("cages/core/threads.ts", "=> latest(limit, before),", "=> TELL ?? latest(limit, before),");
  for (const cage of ["core", "impact", "surface"]) await planet.ok("start", cage);
}, 120_000);
afterAll(() => planet?.remove());

it("keeps its trace, its deadline and its log level on the way from Surface over Impact to Core", async () => {
  // Connections, and what is compiled on first use, are no part of it.
  await eventually("the front page", async () => (await fetch(planet.site)).ok, 30_000);
  await planet.ok("level", "surface", "debug", "--label", "GET /");
  const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  const headers = { traceparent: `00-${trace}-00f067aa0ba902b7-01`, "x-deadline-ms": "8000" };
  expect((await fetch(planet.site, { headers })).status).toBe(200);
  const [impact, core] = await Promise.all(
    ["impact", "core"].map((cage) =>
      eventually(`the line of ${cage}`, () => linesOf(cage).find((line) => line.trace === trace)),
    ),
  );
  expect([impact, core]).toMatchObject([
    { message: "asked for threads", level: "debug" },
    { message: "asked for threads", level: "debug" },
  ]);
  // Each of them would give a stranger 10 s.
  const [atImpact, atCore] = [impact?.fields?.left as number, core?.fields?.left as number];
  expect(atImpact).toBeGreaterThan(0);
  expect(atImpact).toBeLessThanOrEqual(8000);
  expect(atCore).toBeLessThanOrEqual(atImpact);
});
