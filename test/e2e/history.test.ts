/** History, rollback and diff as an operator has them: through ./cage, over a restart. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createProject, eventually, type Project } from "../kit/project.ts";

let project: Project;
const api = (word: string, extra = "") =>
  `${extra}export const say = () => ${JSON.stringify(word)};\nexport const fail = () => { throw new Error("broken"); };\n`;
const said = async () => JSON.parse((await project.cage("call", "shop", "say")).stdout || "null") as string;
const saved = async (word: string, extra?: string) => {
  project.write({ "cages/shop/api.ts": api(word, extra) });
  await eventually(`the cage says ${word}`, async () => (await said()) === word);
};
interface Row {
  generation: number;
  trigger: string;
  of?: number;
  held?: boolean;
  serving?: boolean;
  after: { requests: number; errorRate: number | null; p95Ms: number | null };
  before: { requests: number; errorRate: number | null; p95Ms: number | null };
}
const history = async () => JSON.parse(await project.ok("history", "shop", "--json")) as Row[];

beforeAll(async () => {
  project = createProject({ "cages/shop/api.ts": api("one") });
  await project.ok("start", "shop");
});
afterAll(() => project.remove());

describe("the history of a cage", () => {
  it("has requests, error rate and p95 of each generation, and of what was before it", async () => {
    expect(await said()).toBe("one");
    await saved("two");
    expect((await project.cage("call", "shop", "fail")).code).toBe(1);
    const rows = await history();
    expect(rows.map(({ generation, trigger }) => [generation, trigger])).toEqual([
      [1, "start"],
      [2, "watch"],
    ]);
    const [first, second] = rows as [Row, Row];
    expect(first.after.errorRate).toBe(0);
    expect(second.before).toEqual({ ...first.after, typeErrors: null });
    expect(second.after.errorRate).toBeGreaterThan(0);
    expect(second.after.p95Ms).toBeGreaterThan(0);
    expect(await project.ok("history", "shop")).toMatch(
      /2 serves .* watch .* 0\.0% > \d+\.\d% .* cages\/shop\/api\.ts/,
    );
  });

  it("shows what a generation changed, as a diff", async () => {
    const diff = await project.ok("diff", "shop");
    expect(diff).toContain("--- a/cages/shop/api.ts\n+++ b/cages/shop/api.ts\n@@ -1,2 +1,2 @@\n");
    expect(diff).toContain('-export const say = () => "one";\n+export const say = () => "two";\n');
  });

  it("is gone back in at once, and the rollback is shown wherever one looks", async () => {
    expect(await project.ok("rollback", "shop")).toContain("generation 3 is generation 1 again");
    expect(await said()).toBe("one");
    const list = await project.ok("list");
    expect(list).toMatch(/shop +ready +\d+ +3 held/);
    expect(list).toContain("generation 3 is generation 1 again, and holds until the next save");
    const status = JSON.parse(await project.ok("list", "--json"))[0];
    expect(status.worker).toMatchObject({ generation: 3, held: { of: 1 } });
    expect((await history()).at(-1)).toMatchObject({ generation: 3, trigger: "rollback", of: 1, held: true });
    expect(await project.ok("logs", "shop")).toContain("generation 3 is generation 1 again");
  });

  it("holds the rollback over a restart, and ends it with the next save", async () => {
    await project.ok("restart", "shop");
    expect(await said()).toBe("one");
    expect(await project.ok("list")).toMatch(/shop +ready +\d+ +4 held/);
    // The figures of before are there too.
    expect((await history())[1]?.after.requests).toBeGreaterThan(1);
    await saved("three");
    expect(await project.ok("list")).toMatch(/shop +ready +\d+ +5 /);
    expect((await history()).at(-1)).toMatchObject({ generation: 5, trigger: "watch", held: false });
  });

  it("reaches back before the restart", async () => {
    expect(await project.ok("diff", "shop", "2", "5")).toContain('-export const say = () => "two";');
    await project.ok("rollback", "shop", "2");
    expect(await said()).toBe("two");
    const refused = await project.cage("rollback", "shop", "99");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("the texts of generation 99 are not kept; there are 1 to 6");
    expect((await project.cage("rollback", "shop", "none")).code).toBe(2);
  });
});
