import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, rename, rm, unlink, writeFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { torture } from "../../torture/saves.ts";
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

/** Past the settle pass, which would find what was missed, and would make the second generation that must not be. */
const looked = () => pause(160);

/** The kernel's watches of this process: handles of Node may share one. */
function watches(): number {
  const lines = readdirSync("/proc/self/fdinfo").flatMap((fd) => {
    try {
      return readFileSync(`/proc/self/fdinfo/${fd}`, "utf8").split("\n");
    } catch {
      return [];
    }
  });
  return lines.filter((line) => line.startsWith("inotify wd:")).length;
}

/** Once it is the same for a while: watches are made and dropped behind the events. */
async function steady(count: () => number): Promise<number> {
  for (let at = count(), same = 0; ; ) {
    await pause(40);
    const now = count();
    same = now === at ? same + 1 : 0;
    at = now;
    if (same === 4) return now;
  }
}

describe("the watcher", () => {
  test("a write, a rename-save and a delete-and-create are each one generation", async () => {
    yard.write({ "cages/shop/a.ts": `export const a = 1;` });
    await until(() => yard.module("b").b() === 1);
    yard.renameInto("cages/shop/a.ts", `export const a = 2;`);
    await until(() => yard.module("b").b() === 2);
    await unlink(yard.path("cages/shop/a.ts"));
    yard.write({ "cages/shop/a.ts": `export const a = 3;` });
    await until(() => yard.module("b").b() === 3);
    expect(generations.map(({ generation }) => generation)).toEqual([2, 3, 4]);
  });

  test("a rename-save followed by a write 2 to 40 ms later is not lost, however often", async () => {
    // The long form of this is npm run torture -- saves.
    expect(await torture(yard, 40)).toEqual([]);
  });

  test("files saved within 20 ms are one generation, asked for or not", async () => {
    for (const asked of [false, true])
      for (let n = 1; n <= 5; n++) {
        generations = [];
        const value = n + (asked ? 100 : 0);
        const at = performance.now();
        yard.write({ "cages/shop/a.ts": `export const a = ${value};` });
        // Requests come in all the while, or not one.
        while (performance.now() - at < 18) {
          if (asked) yard.loader.current.hold().release();
          await pause(1);
        }
        yard.write({ "cages/shop/c.ts": `export const c = ${value};` });
        const apartMs = performance.now() - at;
        await until(() => yard.module("b").b() === value && yard.module("c")?.c === value);
        // A busy machine may have been slower than the promise.
        if (apartMs < 20) expect(generations.map(({ files }) => files.length)).toEqual([2]);
      }
  });

  test("files saved within 38 ms are one generation when nobody waits", async () => {
    for (let n = 1; n <= 5; n++) {
      generations = [];
      const at = performance.now();
      yard.write({ "cages/shop/a.ts": `export const a = ${n};` });
      await pause(32);
      yard.write({ "cages/shop/c.ts": `export const c = ${n};` });
      const apartMs = performance.now() - at;
      await until(() => yard.module("b").b() === n && yard.module("c")?.c === n);
      if (apartMs < 38) expect(generations.map(({ files }) => files.length)).toEqual([2]);
    }
  });

  test("a formatter that writes a file again 18 ms after the editor makes no second generation", async () => {
    for (let n = 1; n <= 5; n++) {
      generations = [];
      const at = performance.now();
      yard.renameInto("cages/shop/a.ts", `export const a=${n}`);
      await pause(17);
      yard.write({ "cages/shop/a.ts": `export const a = ${n};` });
      const apartMs = performance.now() - at;
      await until(() => yard.module("b").b() === n);
      await looked();
      if (apartMs < 20) expect(generations).toHaveLength(1);
    }
  });

  test("half of a save that a look comes upon is waited on like any other", async () => {
    // Looks all the time, so that one of them falls between the two writes.
    const loader = yard.another({ sweepMs: 1 });
    await loader.start();
    await loader.watch();
    const done: number[] = [];
    const stop = events.on("reload.done", ({ files }) => done.push(files.length));
    const b = () => (loader.current.module("b") as { b: () => number }).b();
    for (let n = 1; n <= 10; n++) {
      const at = performance.now();
      yard.write({ "cages/shop/a.ts": `export const a = ${n};` });
      await pause(10);
      yard.write({ "cages/shop/c.ts": `export const c = ${n};` });
      const apartMs = performance.now() - at;
      await expect.poll(() => [b(), loader.current.module("c")?.["c"]]).toEqual([n, n]);
      if (apartMs < 20) expect(done.filter((count) => count === 1)).toEqual([]);
      done.length = 0;
    }
    stop();
    await loader.stop();
  });

  test("an editor's save by rename is one generation, its draft none", async () => {
    yard.write({ "cages/shop/a.ts.tmp": `export const a = 1;` });
    await rename(yard.path("cages/shop/a.ts.tmp"), yard.path("cages/shop/a.ts"));
    await until(() => yard.module("b").b() === 1);
    await looked();
    expect(generations).toMatchObject([{ generation: 2, files: ["cages/shop/a.ts"] }]);
  });

  test("a half-written file is waited for, and nobody hears of it", async () => {
    const failures: string[] = [];
    const stop = events.on("reload.failed", ({ message }) => failures.push(message));
    for (let length = 200; ; length++) {
      const text = `export const a = [${"1, ".repeat(length)}].length;`;
      const written: number[] = [];
      for (let at = 0; at < text.length; at += 100) {
        await writeFile(yard.path("cages/shop/a.ts"), text.slice(at, at + 100), { flag: at === 0 ? "w" : "a" });
        written.push(performance.now());
        await pause(30);
      }
      await until(() => yard.module("b").b() === length);
      // A machine that held up who writes made a pause of it: that is half a save for anybody.
      const late = written.some((at, n) => at - (written[n - 1] ?? at) > 38);
      if (!late || length === 230) break;
      await looked();
      failures.length = generations.length = 0;
    }
    stop();
    expect([failures, generations.length]).toEqual([[], 1]);
  });

  test("a module renamed with its importer is one generation, without the old name", async () => {
    await rename(yard.path("cages/shop/a.ts"), yard.path("cages/shop/z.ts"));
    yard.write({ "cages/shop/b.ts": `import { a } from "./z.ts"; export const b = () => a + 10;` });
    await until(() => yard.module("b").b() === 10);
    expect([generations.length, yard.loader.current.names]).toEqual([1, ["b", "z"]]);
  });

  test("a write of which no event tells is found by the slow sweep", async () => {
    const loader = yard.another({ sweepMs: 50 });
    await loader.start();
    await loader.watch();
    await looked();
    // A page written through memory changes the file and wakes no watcher, as on a network mount.
    const script = `import mmap,sys
with open(sys.argv[1], "r+b") as file:
    page = mmap.mmap(file.fileno(), 0)
    page[17:18] = b"7"
    page.flush()`;
    execFileSync("python3", ["-c", script, yard.path("cages/shop/a.ts")]);
    await expect.poll(() => (loader.current.module("b") as { b: () => number }).b()).toBe(7);
    expect(yard.module("b").b()).toBe(0);
    await loader.stop();
  });

  test("watches come and go with folders, and do not grow with saves", async () => {
    const handles = watches;
    yard.write({
      "cages/shop/sub/d.ts": `export const d = 1;`,
      "cages/shop/a.ts": `export { d as a } from "./sub/d.ts";`,
    });
    await until(() => yard.module("b").b() === 1);
    const before = await steady(handles);
    for (let n = 2; n <= 12; n++) {
      yard.renameInto("cages/shop/sub/d.ts", `export const d = ${n};`);
      await until(() => yard.module("b").b() === n);
    }
    await expect.poll(() => steady(handles)).toBe(before);
    yard.write({ "cages/shop/a.ts": `export const a = 1;` });
    await rm(yard.path("cages/shop/sub"), { recursive: true });
    await expect.poll(handles).toBeLessThan(before);
  });

  test("files saved together are one generation", async () => {
    yard.write({
      "cages/shop/a.ts": `export const a = 5;`,
      "cages/shop/c.ts": `export const c = 5;`,
      "cages/shop/sub/d.ts": "",
    });
    await until(() => yard.module("b").b() === 5);
    expect(generations).toMatchObject([{ generation: 2, files: ["cages/shop/a.ts", "cages/shop/c.ts"] }]);
    expect(yard.module("c").c).toBe(5);
  });

  test("a git checkout of 2,000 files is one generation, however long it takes", async () => {
    await yard.loader.stop();
    await mkdir(yard.path(".git"));
    // The lock is looked for once, when watching begins.
    const loader = yard.another();
    await loader.start();
    await loader.watch();
    await writeFile(yard.path(".git/index.lock"), "");
    const folders = Array.from({ length: 20 }, (_, n) => yard.path(`cages/shop/d${n}`));
    for (const folder of folders) await mkdir(folder);
    for (let n = 1; n <= 1_998; n++) {
      await writeFile(`${folders[n % 20]}/m${n}.ts`, `export const m = ${n};`);
      if (n % 500 === 0) yard.write({ "cages/shop/a.ts": `export const a = ${n};` });
    }
    // Most of them are nobody's import: what counts is that they came.
    const names = Array.from({ length: 98 }, (_, at) => `./d${(at + 1) % 20}/m${at + 1}.ts`);
    yard.write({
      "cages/shop/a.ts": `${names.map((name) => `import ${JSON.stringify(name)};`).join("\n")}\nexport const a = 4;`,
      "cages/shop/c.ts": `export const c = 4;`,
    });
    const done = new Promise<void>((resolve) => {
      const gone = events.on("reload.done", () => {
        if ((loader.current.module("b") as { b: () => number }).b() !== 4) return;
        gone();
        resolve();
      });
    });
    await rm(yard.path(".git/index.lock"));
    await done;
    expect(loader.history().filter(({ trigger }) => trigger === "watch")).toMatchObject([{ ok: true }]);
    expect(loader.current.files).toHaveLength(101);
    await loader.stop();
  });

  test("new folders, overrides, config and lib are seen when they appear", async () => {
    yard.write({ "cages/shop/new/deep.ts": `export const deep = 1;` });
    yard.write({ "cages/shop/a.ts": `export { deep as a } from "./new/deep.ts";` });
    await until(() => yard.module("b").b() === 1);
    yard.write({ "cages/shop/new/deep.ts": `export const deep = 2;` });
    await until(() => yard.module("b").b() === 2);
    yard.write({ "config/shop.ts": `export const config = { on: true };` });
    await until(() => yard.loader.current.config.own !== undefined);
    yard.write({ "cages/.shared/s.ts": `export const s = 3;` });
    yard.write({ "cages/shop/a.ts": `export { s as a } from "#shared/s.ts";` });
    await until(() => yard.module("b").b() === 3);
    yard.write({ "cages/shop/s.ts": `export const s = 4;` });
    await until(() => yard.module("b").b() === 4);
    await rm(yard.path("cages/shop/s.ts"));
    await until(() => yard.module("b").b() === 3);
    yard.write({ "lib/x.ts": `export const x = 6;`, "cages/shop/a.ts": `export { x as a } from "#lib/x.ts";` });
    await until(() => yard.module("b").b() === 6);
    yard.write({ "lib/x.ts": `export const x = 7;` });
    await until(() => yard.module("b").b() === 7);
  });

  test("a file of lib, .shared or config reaches every cage that uses it, each as one generation", async () => {
    yard.write({
      "lib/x.ts": `export const x = 1;`,
      "cages/.shared/s.ts": `export const s = 1;`,
      "config/cluster.ts": `export const config = { n: 1 };`,
      "cages/shop/a.ts": `import { x } from "#lib/x.ts"; import { s } from "#shared/s.ts"; export const a = x + s;`,
      "cages/books/b.ts": `import { x } from "#lib/x.ts"; import { s } from "#shared/s.ts"; export const b = () => x + s;`,
      "cages/none/c.ts": `export const b = () => 0;`,
    });
    await until(() => yard.module("b").b() === 2);
    const books = yard.another({ cage: "books" });
    const none = yard.another({ cage: "none" });
    for (const loader of [books, none]) {
      await loader.start();
      await loader.watch();
    }
    await looked();
    const count = () => [yard.loader, books, none].map((loader) => loader.history().filter(({ ok }) => ok).length);
    const before = count();
    const sum = () => [yard.module("b").b(), (books.current.module("b") as { b: () => number }).b()];
    yard.write({ "lib/x.ts": `export const x = 10;` });
    await until(() => sum().join() === "11,11");
    yard.write({ "cages/.shared/s.ts": `export const s = 20;` });
    await until(() => sum().join() === "30,30");
    yard.write({ "config/cluster.ts": `export const config = { n: 2 };` });
    const n = (loader: typeof books) => (loader.current.config.cluster?.["config"] as { n: number } | undefined)?.n;
    await until(() => [yard.loader, books, none].every((loader) => n(loader) === 2));
    await looked();
    expect(count().map((now, at) => now - (before[at] as number))).toEqual([3, 3, 1]);
    await books.stop();
    await none.stop();
  });

  test("a contract of another cage that the configuration names is watched, over rename-saves", async () => {
    yard.write({
      "cages/billing/billing.thrift": "one",
      "cages/billing/api.ts": "throw new Error('not ours');",
      "config/shop.ts": `import idl from "../cages/billing/billing.thrift"; export const config = { idl };`,
    });
    const idl = () => (yard.loader.current.config.own?.["config"] as { idl: string } | undefined)?.idl;
    await until(() => idl() === "one");
    for (const next of ["two", "three", "four"]) {
      yard.renameInto("cages/billing/billing.thrift", next);
      await until(() => idl() === next);
    }
  });

  test("a cage whose first load failed comes up when it is mended", async () => {
    const loader = yard.another();
    yard.write({ "cages/shop/a.ts": `export const a = ;` });
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
    yard.write({ "cages/shop/a.ts": `export const a = 11;` });
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
    yard.write({ "cages/shop/a.ts": `export const a = ;` });
    expect(await failed).toBe("> 1 | export const a = ;\n    |                  ^");
    expect(yard.module("b").b()).toBe(0);
    yard.renameInto("cages/shop/a.ts", `export const a = 8;`);
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
