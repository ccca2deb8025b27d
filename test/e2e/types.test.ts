/** Types beside a live cage: shown after the swap, or asked for before it. With the project's real compiler. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createProject, eventually, type Project } from "../kit/project.ts";

/** A first check, at the lowest priority, on a machine that does other things too. */
const checkMs = 150_000;

let project: Project;
const output = (cage: string) => readFileSync(join(project.root, "logs", cage, "output.log"), "utf8");
interface Worker {
  generation: number;
  types: { state: string; generation: number; count: number; faults: { file: string; line: number; frame: string }[] };
}
const workerOf = async (cage: string) =>
  (JSON.parse(await project.ok("list", "--json")) as { cage: string; worker: Worker }[]).find(
    (row) => row.cage === cage,
  )?.worker as Worker;
const checked = (cage: string, generation: number) =>
  eventually(
    `the check of generation ${generation}`,
    async () => {
      const worker = await workerOf(cage);
      return worker.types.state === "done" && worker.types.generation === generation && worker;
    },
    checkMs,
  );

beforeAll(async () => {
  project = createProject({
    "cages/.shared/mail.ts": "export const mail = (to: string): string => to;\n",
    "cages/shop/api.ts": 'import { mail } from "#shared/mail.ts";\nexport const say = (): string => mail("one");\n',
    "cages/bank/api.ts": "export const cents = (): number => 1;\n",
    "cages/bank/mail.ts": "export const mail = (to: string): { to: string } => ({ to });\n",
    "cages/bank/send.ts": 'import { mail } from "#shared/mail.ts";\nexport const sent: string = mail("x").to;\n',
    "cages/plain/api.ts": "export const n: string = 1;\n",
    "config/bank.ts":
      'import { defineCage } from "#runtime";\nexport const config = defineCage({ typecheck: "gate" });\n',
  });
  await project.ok("start", "shop", "bank");
  await project.ok("start", "plain", "--no-watch");
});
afterAll(() => project.remove());

describe("types in the background", () => {
  it("do not delay a swap, and are shown beside its generation when they are known", async () => {
    project.write({
      "cages/shop/api.ts": 'import { mail } from "#shared/mail.ts";\n\nexport const say = (): string => mail(2);\n',
    });
    await eventually("the new code", async () => (await project.ok("call", "shop", "say")).trim() === "2");
    const worker = await checked("shop", 2);
    expect(worker.types).toMatchObject({ count: 1, faults: [{ file: "cages/shop/api.ts", line: 3, code: "TS2345" }] });
    expect(await project.ok("list")).toMatch(/shop +ready +\d+ +2 \(1 type error\)/);
    expect(await project.ok("history", "shop")).toMatch(/2 serves .* 1 +cages\/shop\/api\.ts/);
    const frame = "> 3 | export const say = (): string => mail(2);\n    |                                       ^";
    expect(worker.types.faults[0]?.frame).toContain(frame);
    expect(output("shop").split("generation 2 serves with 1 type error:")).toHaveLength(2);
    expect(output("shop")).toContain(frame);
  }, 180_000);

  it("are said to be well again, once", async () => {
    project.write({ "cages/shop/api.ts": 'export const say = (): string => "three";\n' });
    expect((await checked("shop", 3)).types.count).toBe(0);
    expect(output("shop")).toContain("generation 3 has no type errors any more");
  }, 180_000);

  it("leave a cage alone that does not watch", async () => {
    expect((await workerOf("plain")).types.state).toBe("off");
    expect(existsSync(join(project.root, "state/plain/types"))).toBe(false);
  });
});

describe("types as a gate", () => {
  it("refuse a reload with a code frame, and the old generation serves on", async () => {
    const before = (await workerOf("bank")).generation;
    project.write({ "cages/bank/api.ts": 'export const cents = (): number => "two";\n' });
    await eventually("the refusal", () => output("bank").includes("TS2322"), checkMs);
    expect(output("bank")).toContain('> 1 | export const cents = (): number => "two";');
    expect((await workerOf("bank")).generation).toBe(before);
    expect(await project.ok("call", "bank", "cents")).toBe("1\n");
  }, 180_000);

  it("let pass what has none, an override of a shared file included", async () => {
    project.write({ "cages/bank/api.ts": "export const cents = (): number => 3;\n" });
    await eventually("the new code", async () => (await project.ok("call", "bank", "cents")) === "3\n", checkMs);
    expect((await workerOf("bank")).types).toMatchObject({ state: "done", count: 0 });
  }, 180_000);

  it("do not stand in the way of a rollback", async () => {
    await project.ok("rollback", "bank");
    expect(await project.ok("call", "bank", "cents")).toBe("1\n");
    expect((await workerOf("bank")).types.state).toBe("off");
  });
});
