/** Going back to an earlier generation, holding it, and what is kept for that. */
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { Archive } from "../../../runtime/modules/archive.ts";
import { hashOf } from "../../../runtime/modules/compile.ts";
import { failed, Yard } from "./yard.ts";

let yard: Yard;
afterEach(() => yard.away());

const a = (value: number) => ({ "cages/shop/a.ts": `export const a = ${value};\n` });

describe("a rollback", () => {
  test("serves what was before, as a new generation, by the same path as any swap", async () => {
    yard = await Yard.make({
      ...a(1),
      "cages/shop/b.ts": `import { hooks } from "#runtime";
        import { a } from "./a.ts";
        import { note } from "#runtime";
        export const b = () => a;
        export const life = hooks({ start: () => note(\`start \${a}\`) });`,
    });
    await yard.loader.start();
    await yard.save(a(2));
    yard.log.length = 0;
    const back = await yard.loader.rollback();
    expect(back).toMatchObject({ ok: true, generation: 3, of: 1, files: ["cages/shop/a.ts"], dependents: 1 });
    expect(yard.module("b").b()).toBe(1);
    expect(yard.log.filter((line) => !line.startsWith("dispose"))).toEqual(["prepare 3", "start 1", "commit 3"]);
    expect(yard.loader.held).toMatchObject({ of: 1 });
    expect(yard.loader.history().at(-1)).toMatchObject({ generation: 3, trigger: "rollback", of: 1, ok: true });
  });

  test("goes back one more each time, or to the one that is named", async () => {
    yard = await Yard.make(a(1));
    await yard.loader.start();
    for (const value of [2, 3, 4]) await yard.save(a(value));
    await yard.loader.rollback();
    expect(yard.module("a").a).toBe(3);
    await yard.loader.rollback();
    expect(yard.module("a").a).toBe(2);
    await yard.loader.rollback(4);
    expect(yard.module("a").a).toBe(4);
    await yard.loader.rollback(1);
    expect(yard.module("a").a).toBe(1);
    await expect(yard.loader.rollback()).rejects.toThrow("nothing else is kept from before generation 1");
    await expect(yard.loader.rollback(77)).rejects.toThrow("generation 77 are not kept; there are 1 to 8");
  });

  test("brings back files that are gone and leaves out files that came", async () => {
    yard = await Yard.make({ ...a(1), "cages/shop/old.ts": "export const old = true;" });
    await yard.loader.start();
    yard.write({ ...a(2), "cages/shop/fresh.ts": "export const fresh = true;" });
    await yard.unlink("cages/shop/old.ts");
    await yard.loader.reload("command");
    expect(yard.loader.current.names).toEqual(["a", "fresh"]);
    await yard.loader.rollback();
    expect(yard.loader.current.names).toEqual(["a", "old"]);
    expect(yard.module("old").old).toBe(true);
  });

  test("holds while nothing is saved, and ends with the next save of any file", async () => {
    yard = await Yard.make({ ...a(1), "cages/shop/b.ts": "export const b = 1;" });
    await yard.loader.start();
    await yard.save(a(2));
    await yard.loader.rollback();
    // A late event of the save before, or a touch: nothing differs from what was there.
    expect(await yard.loader.reload("watch", ["cages/shop/a.ts"])).toMatchObject({
      ok: true,
      generation: 3,
      files: [],
    });
    expect(await yard.save(a(2))).toMatchObject({ files: [] });
    expect(yard.module("a").a).toBe(1);
    const done = await yard.save({ "cages/shop/b.ts": "export const b = 2;" });
    expect(done).toMatchObject({ ok: true, files: ["cages/shop/a.ts", "cages/shop/b.ts"] });
    expect([yard.module("a").a, yard.module("b").b]).toEqual([2, 2]);
    expect(yard.loader.held).toBeUndefined();
  });

  test("a new file ends it too, and so does a reload of everything", async () => {
    yard = await Yard.make(a(1));
    await yard.loader.start();
    await yard.save(a(2));
    await yard.loader.rollback();
    await yard.save({ "cages/shop/c.ts": "export const c = 1;" });
    expect(yard.module("a").a).toBe(2);
    await yard.loader.rollback(1);
    expect(yard.module("a").a).toBe(1);
    await yard.loader.reload("command");
    expect(yard.module("a").a).toBe(2);
    expect(yard.loader.held).toBeUndefined();
  });

  test("goes on serving when the next save does not load", async () => {
    yard = await Yard.make(a(1));
    await yard.loader.start();
    await yard.save(a(2));
    await yard.loader.rollback();
    failed(await yard.save({ "cages/shop/a.ts": "export const a = ;" }));
    expect(yard.module("a").a).toBe(1);
    expect(yard.loader.held).toMatchObject({ of: 1 });
    await yard.save(a(3));
    expect(yard.module("a").a).toBe(3);
    expect(yard.loader.held).toBeUndefined();
  });

  test("that is refused leaves everything as it was", async () => {
    yard = await Yard.make(a(1));
    await yard.loader.start();
    await yard.save(a(2));
    yard.refuse = () => {
      throw new Error("the port is taken");
    };
    expect(failed(await yard.loader.rollback()).message).toBe("the port is taken");
    yard.refuse = undefined;
    expect(yard.module("a").a).toBe(2);
    expect(yard.loader.held).toBeUndefined();
    expect(yard.loader.failure).toBeUndefined();
  });

  test("reaches generations from before a restart, and holds over it", async () => {
    yard = await Yard.make(a(1));
    await yard.loader.start();
    await yard.save(a(2));
    await yard.loader.stop();
    const second = yard.another();
    await second.start();
    await second.rollback(1);
    expect(second.current.module("a")?.["a"]).toBe(1);
    await second.stop();
    const third = yard.another();
    await third.start();
    expect(third.current.module("a")?.["a"]).toBe(1);
    expect(third.held).toMatchObject({ of: 1 });
    await third.stop();
    yard.write(a(5));
    const fourth = yard.another();
    await fourth.start();
    expect(fourth.current.module("a")?.["a"]).toBe(5);
    expect(fourth.held).toBeUndefined();
    await fourth.stop();
    const fifth = yard.another();
    await fifth.start();
    expect(fifth.held).toBeUndefined();
    await fifth.stop();
  });

  test("is what serves after a restart when what was saved meanwhile does not load", async () => {
    yard = await Yard.make(a(1));
    await yard.loader.start();
    await yard.save(a(2));
    await yard.loader.rollback();
    await yard.loader.stop();
    yard.write({ "cages/shop/a.ts": "export const a = ;" });
    const next = yard.another();
    await next.start();
    expect(next.current.module("a")?.["a"]).toBe(1);
    expect(next.failure?.frame).toContain("> 1 | export const a = ;");
    yard.write(a(3));
    await next.reload("watch", ["cages/shop/a.ts"]);
    expect(next.current.module("a")?.["a"]).toBe(3);
    expect(next.failure).toBeUndefined();
    await next.stop();
  });
});

describe("a start after a crash", () => {
  test("serves what served last when the disk does not load, until a save mends it", async () => {
    yard = await Yard.make(a(1));
    await yard.loader.start();
    await yard.save(a(2));
    await yard.loader.stop();
    yard.write({ "cages/shop/b.ts": 'import { a } from "./a.ts"; export const b = ;', ...a(3) });
    const next = yard.another();
    await expect(next.start()).rejects.toMatchObject({ code: "LOAD" });
    await next.start({ revive: true });
    expect(next.current.module("a")?.["a"]).toBe(2);
    expect(next.failure?.frame).toContain("export const b = ;");
    yard.write({ "cages/shop/b.ts": 'import { a } from "./a.ts"; export const b = () => a;' });
    await next.reload("watch", ["cages/shop/b.ts"]);
    expect((next.current.module("b") as { b(): number }).b()).toBe(3);
    expect([next.failure, next.held]).toEqual([undefined, undefined]);
    await next.stop();
  });

  test("fails as any other when nothing is kept", async () => {
    yard = await Yard.make({ "cages/shop/a.ts": "export const a = ;" });
    await expect(yard.loader.start({ revive: true })).rejects.toMatchObject({ code: "LOAD" });
    yard.write(a(1));
    await yard.loader.start({ revive: true });
    expect(yard.module("a").a).toBe(1);
  });
});

describe("the archive", () => {
  const file = (text: string) => ({ file: join(yard.root, "cages/shop/a.ts"), text, hash: hashOf(text) });
  const open = async (limits: { maxGenerations?: number; maxBytes?: number }) => {
    const folder = join(yard.root, "state/texts");
    const archive = new Archive({ folder, root: yard.root, home: yard.root, ...limits });
    await archive.open();
    return archive;
  };

  test("keeps a bounded number of generations, and no text that none of them has", async () => {
    yard = await Yard.make(a(1));
    const archive = await open({ maxGenerations: 4 });
    for (let id = 1; id <= 20; id++) {
      archive.keep(id, [file(`text ${id}`), { ...file("shared"), file: join(yard.root, "lib/s.ts") }]);
      await archive.flush();
    }
    expect(archive.generations.length).toBeLessThanOrEqual(5);
    expect(await archive.read(20)).toEqual(
      new Map([
        [join(yard.root, "cages/shop/a.ts"), "text 20"],
        [join(yard.root, "lib/s.ts"), "shared"],
      ]),
    );
    expect(await archive.read(2)).toBeUndefined();
    const names = await readdir(join(yard.root, "state/texts"));
    expect(names.length).toBe(2 * archive.generations.length + 1);
    expect((await open({})).generations).toEqual(archive.generations);
  });

  test("keeps a bounded number of bytes, and always what is held", async () => {
    yard = await Yard.make(a(1));
    const archive = await open({ maxBytes: 10_000 });
    archive.hold({ of: 1, at: "now", disk: new Map() });
    for (let id = 1; id <= 30; id++) {
      archive.keep(id, [file(`${id}`.repeat(1_500))]);
      await archive.flush();
    }
    expect(archive.generations.length).toBeLessThan(12);
    expect(archive.generations).toContain(1);
    expect(await archive.read(30)).toBeDefined();
  });

  test("does not give back a text that was changed, and keeps it anew", async () => {
    yard = await Yard.make(a(1));
    const archive = await open({});
    archive.keep(1, [file("text")]);
    await archive.flush();
    await writeFile(join(yard.root, "state/texts", hashOf("text")), "something else");
    expect(await archive.read(1)).toBeUndefined();
    archive.keep(2, [file("text")]);
    expect((await archive.read(1))?.size).toBe(1);
  });
});
