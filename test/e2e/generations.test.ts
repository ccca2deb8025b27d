/** What runs when its code changes, in a real cage: requests, background work and retried calls end as they began. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createProject, eventually, freePorts, type Project } from "../kit/project.ts";

let project: Project;
let port: number;

const file = (name: string): string => join(project.root, name);
const version = (n: number) => ({
  "cages/old/version.ts": `export const version = ${n};\nexport const nested = async (gate: () => Promise<void>) => { await gate(); return inner(); };\nconst inner = () => ${n};\n`,
  "cages/old/sub/late.ts": `export const late = ${n};\n`,
});
const answer = (): Promise<{ status: number; text: string }> =>
  new Promise((resolve, reject) => {
    get(`http://127.0.0.1:${port}/`, { agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (text += chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    }).on("error", reject);
  });

beforeAll(async () => {
  [port] = (await freePorts(1)) as [number];
  project = createProject({
    ...version(1),
    "cages/old/api.ts": `import { existsSync, writeFileSync } from "node:fs";
import { background, cage, request } from "#runtime";
import { nested, version } from "./version.ts";
const open = async () => { while (!existsSync(${JSON.stringify("GATE")})) await new Promise((next) => setTimeout(next, 10)); };
const work = async (out: string) => {
  writeFileSync(out + ".begun", "");
  const before = version;
  const inside = await nested(open);
  const { late } = await import("./sub/late.ts");
  writeFileSync(out, JSON.stringify([before, version, inside, late]));
};
export const wait = async (out: string) => await work(out);
export const behind = (out: string) => background(() => work(out), { timeoutMs: 60_000 });
export const durable = async (out: string) => await (cage("old") as never as { retry(o: object): { wait(out: string): Promise<unknown> } }).retry({ id: "one" }).wait(out);
export const generation = () => request.generation;
`,
    "config/old.ts": `import { defineCage } from "#runtime";\nexport const config = defineCage({ timeoutMs: 60_000 });\n`,
    "cages/shy/web.ts": `export const routes = { "GET /": () => "one" };\n`,
    "config/shy.ts": `import { defineCage } from "#runtime";
export const config = defineCage({
  canary: { share: 0.5, requests: 40, errorRate: 0.1 },
  interfaces: { web: { protocol: "http", port: ${port} } },
});\n`,
    "package-lock.json": `{"packages":{}}`,
  });
  const api = file("cages/old/api.ts");
  writeFileSync(api, readFileSync(api, "utf8").replace(`"GATE"`, JSON.stringify(file("gate"))));
  await project.ok("start");
});
afterAll(() => project.remove());

describe("what runs when its code changes", () => {
  it("ends on the generation it began with: a request, background work, an attempt of a retried call", async () => {
    const outs = ["request", "background", "attempt"].map(file) as [string, string, string];
    const [request, behind, attempt] = outs;
    const waiting = project.ok("call", "old", "wait", JSON.stringify(request));
    await project.ok("call", "old", "behind", JSON.stringify(behind));
    await project.ok("call", "old", "durable", JSON.stringify(attempt));
    await eventually("all three began", () => outs.every((out) => existsSync(`${out}.begun`)));
    for (const n of [2, 3, 4]) {
      project.write(version(n));
      await project.ok("reload", "old");
    }
    expect(Number(await project.ok("call", "old", "generation"))).toBeGreaterThan(1);
    project.write({ gate: "" });
    await waiting;
    for (const out of outs)
      expect(await eventually(out, () => existsSync(out) && readFileSync(out, "utf8"))).toBe("[1,1,1,1]");
    const fresh = file("fresh");
    await project.ok("call", "old", "wait", JSON.stringify(fresh));
    expect(readFileSync(fresh, "utf8")).toBe("[4,4,4,4]");
  });

  it("is told that changed packages need a restart, in ./cage list and in its status", async () => {
    expect(await project.ok("list")).not.toContain("restart to apply");
    project.write({ "package-lock.json": `{"packages":{"zod":{}}}` });
    expect(await project.ok("list")).toContain("old: packages changed (package-lock.json)");
    expect(JSON.parse(await project.ok("list", "--json"))[0].worker.restart).toMatchObject([{ what: "packages" }]);
    project.write({ "package-lock.json": `{"packages":{}}` });
    expect(await project.ok("list")).not.toContain("restart to apply");
  });

  it("on trial, is rolled back by itself when it fails, and stays when it does not", { timeout: 90_000 }, async () => {
    const ask = async (seen: Set<string>) => {
      const { status, text } = await answer();
      seen.add(status === 200 ? text : String(status));
      return seen;
    };
    const bad = new Set<string>();
    project.write({ "cages/shy/web.ts": `export const routes = { "GET /": () => { throw new Error("broken"); } };\n` });
    await eventually("the trial", async () => (await ask(bad)).has("500"));
    for (let n = 0; n < 10; n++) await ask(bad);
    expect([...bad].sort()).toEqual(["500", "one"]);
    await eventually("the way back", async () => (await project.ok("history", "shy")).includes("rollback"));
    const after = new Set<string>();
    for (let n = 0; n < 20; n++) await ask(after);
    expect([...after]).toEqual(["one"]);
    const good = new Set<string>();
    project.write({ "cages/shy/web.ts": `export const routes = { "GET /": () => "two" };\n` });
    await eventually(
      "all of it",
      async () => {
        for (let n = 0; n < 20; n++) await ask(good);
        const last = new Set<string>();
        for (let n = 0; n < 4; n++) await ask(last);
        return last.size === 1 && last.has("two");
      },
      40_000,
    );
    expect([...good].sort()).toEqual(["one", "two"]);
  });
});
