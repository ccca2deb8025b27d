import { mkdir, rename, rm, unlink, writeFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { events, Yard } from "./yard.ts";

let yard: Yard;
let generations: { generation: number; files: readonly string[] }[];
let off: () => void;

beforeEach(async () => {
  yard = await Yard.make({
    "cages/shop/a.ts": `export const a = 0;`,
    "cages/shop/b.ts": `import { a } from "./a.ts"; export const b = () => a;`,
  });
  await yard.loader.start();
  await yard.loader.watch();
  generations = [];
  off = events.on("reload.done", (done) => generations.push(done));
});

afterEach(async () => {
  off();
  await yard.away();
});

/** Resolves when `seen` is true; asked after each reload, so it ends as soon as it can. */
function until(seen: () => boolean): Promise<void> {
  if (seen()) return Promise.resolve();
  return new Promise((resolve) => {
    const stop = events.on("reload.done", () => {
      if (!seen()) return;
      stop();
      resolve();
    });
  });
}

describe("the watcher", () => {
  test("a write, a rename-save and a delete-and-create are each one generation", async () => {
    await yard.write({ "cages/shop/a.ts": `export const a = 1;` });
    await until(() => yard.module("b").b() === 1);
    await yard.renameInto("cages/shop/a.ts", `export const a = 2;`);
    await until(() => yard.module("b").b() === 2);
    await unlink(yard.path("cages/shop/a.ts"));
    await yard.write({ "cages/shop/a.ts": `export const a = 3;` });
    await until(() => yard.module("b").b() === 3);
    expect(generations.map(({ generation }) => generation)).toEqual([2, 3, 4]);
  });

  test.each([2, 10, 20, 40, 60])("a rename-save followed by a write %i ms later is not lost", async (gapMs) => {
    for (let n = 1; n <= 4; n++) {
      await yard.renameInto("cages/shop/a.ts", `export const a = ${n * 10};`);
      // The gap is what is tested here.
      await pause(gapMs);
      await yard.write({ "cages/shop/a.ts": `export const a = ${n * 10 + 1};` });
      await until(() => yard.module("b").b() === n * 10 + 1);
    }
  });

  test("files saved together are one generation", async () => {
    await yard.write({
      "cages/shop/a.ts": `export const a = 5;`,
      "cages/shop/c.ts": `export const c = 5;`,
      "cages/shop/sub/d.ts": "",
    });
    await until(() => yard.module("b").b() === 5);
    expect(generations).toMatchObject([{ generation: 2, files: ["cages/shop/a.ts", "cages/shop/c.ts"] }]);
    expect(yard.module("c").c).toBe(5);
  });

  test("a git checkout is one generation, however long it takes", async () => {
    await mkdir(yard.path(".git"));
    // The lock is looked for once, when watching begins.
    const loader = yard.another();
    await loader.start();
    await loader.watch();
    const seen: number[] = [];
    const stop = events.on("reload.done", () => seen.push((loader.current.module("b") as { b: () => number }).b()));
    await writeFile(yard.path(".git/index.lock"), "");
    for (let n = 1; n <= 4; n++) {
      await yard.write({ "cages/shop/a.ts": `export const a = ${n};` });
      await pause(40);
    }
    const done = new Promise<void>((resolve) => {
      const gone = events.on("reload.done", () => {
        if ((loader.current.module("b") as { b: () => number }).b() !== 4) return;
        gone();
        resolve();
      });
    });
    await rm(yard.path(".git/index.lock"));
    await done;
    stop();
    expect(loader.history().filter(({ trigger }) => trigger === "watch")).toHaveLength(1);
    await loader.stop();
  });

  test("new folders, overrides, config and lib are seen when they appear", async () => {
    await yard.write({ "cages/shop/new/deep.ts": `export const deep = 1;` });
    await yard.write({ "cages/shop/a.ts": `export { deep as a } from "./new/deep.ts";` });
    await until(() => yard.module("b").b() === 1);
    await yard.write({ "cages/shop/new/deep.ts": `export const deep = 2;` });
    await until(() => yard.module("b").b() === 2);
    await yard.write({ "config/shop.ts": `export const config = { on: true };` });
    await until(() => yard.loader.current.config.own !== undefined);
    await yard.write({ "cages/.shared/s.ts": `export const s = 3;` });
    await yard.write({ "cages/shop/a.ts": `export { s as a } from "#shared/s.ts";` });
    await until(() => yard.module("b").b() === 3);
    await yard.write({ "cages/shop/s.ts": `export const s = 4;` });
    await until(() => yard.module("b").b() === 4);
    await rm(yard.path("cages/shop/s.ts"));
    await until(() => yard.module("b").b() === 3);
    await yard.write({ "lib/x.ts": `export const x = 6;`, "cages/shop/a.ts": `export { x as a } from "#lib/x.ts";` });
    await until(() => yard.module("b").b() === 6);
    await yard.write({ "lib/x.ts": `export const x = 7;` });
    await until(() => yard.module("b").b() === 7);
  });

  test("a contract of another cage that the configuration names is watched, over rename-saves", async () => {
    await yard.write({
      "cages/billing/billing.thrift": "one",
      "cages/billing/api.ts": "throw new Error('not ours');",
      "config/shop.ts": `import idl from "../cages/billing/billing.thrift"; export const config = { idl };`,
    });
    const idl = () => (yard.loader.current.config.own?.["config"] as { idl: string } | undefined)?.idl;
    await until(() => idl() === "one");
    for (const next of ["two", "three", "four"]) {
      await yard.renameInto("cages/billing/billing.thrift", next);
      await until(() => idl() === next);
    }
  });

  test("a cage whose first load failed comes up when it is mended", async () => {
    const loader = yard.another();
    await yard.write({ "cages/shop/a.ts": `export const a = ;` });
    await expect(loader.start()).rejects.toMatchObject({ code: "LOAD" });
    await loader.watch();
    const up = new Promise<void>((resolve) => {
      const stop = events.on("reload.done", () => {
        try {
          void loader.current;
        } catch {
          return;
        }
        stop();
        resolve();
      });
    });
    await yard.write({ "cages/shop/a.ts": `export const a = 11;` });
    await up;
    expect(loader.current.module("a")?.["a"]).toBe(11);
    await loader.stop();
  });

  test("a broken save keeps the old code serving, and its repair brings the new", async () => {
    const failed = new Promise<string>((resolve) => {
      const stop = events.on("reload.failed", ({ frame }) => {
        stop();
        resolve(frame);
      });
    });
    await yard.write({ "cages/shop/a.ts": `export const a = ;` });
    expect(await failed).toBe("> 1 | export const a = ;\n    |                  ^");
    expect(yard.module("b").b()).toBe(0);
    await yard.renameInto("cages/shop/a.ts", `export const a = 8;`);
    await until(() => yard.module("b").b() === 8);
  });

  test("a folder that is renamed away and back is an outage for nobody", async () => {
    const failed = new Promise<void>((resolve) => {
      const stop = events.on("reload.failed", () => {
        stop();
        resolve();
      });
    });
    await rename(yard.path("cages/shop"), yard.path("cages/gone"));
    await failed;
    expect(yard.module("b").b()).toBe(0);
    await writeFile(yard.path("cages/gone/a.ts"), `export const a = 9;`);
    await rename(yard.path("cages/gone"), yard.path("cages/shop"));
    await until(() => yard.module("b").b() === 9);
  });
});
