/** Generations of a process that follows another: made ready apart from being served, so that all swap or none does. */
import { afterEach, describe, expect, it } from "vitest";
import { Yard } from "./yard.ts";

let yard: Yard;
afterEach(async () => await yard.away());

const shop = (version: number, more = "") =>
  `import { hooks, note } from "#runtime"; export const version = ${version};
export const life = hooks({ start: () => note("start ${version}"), stop: () => note("stop ${version}") });\n${more}`;

async function pair(files: Readonly<Record<string, string>>) {
  yard = await Yard.make(files);
  await yard.loader.start();
  await yard.loader.archive.flush();
  const follower = yard.another({ follower: true });
  expect((await follower.follow(1)).ok).toBe(true);
  const next = async (text: string) => {
    await yard.save({ "cages/shop/a.ts": text });
    await yard.loader.archive.flush();
    yard.log.length = 0;
  };
  return { follower, next, version: () => follower.current.module("a")?.["version"] };
}

describe("a loader that follows", () => {
  it("makes a generation ready, start hooks and all, and serves it when it is told", async () => {
    const { follower, next, version } = await pair({ "cages/shop/a.ts": shop(1) });
    await next(shop(2));
    expect(await follower.prepare(2)).toBeUndefined();
    expect(yard.log).toEqual(["prepare 2", "start 2"]);
    expect(version()).toBe(1);
    expect(await follower.follow(2)).toMatchObject({ ok: true, generation: 2 });
    expect(version()).toBe(2);
    expect(yard.log).toContain("commit 2");
    await follower.stop();
  });

  it("ends what was made ready and is not coming, and serves another under the same number after that", async () => {
    const { follower, next, version } = await pair({ "cages/shop/a.ts": shop(1) });
    await next(shop(2));
    await follower.prepare(2);
    await follower.forget();
    expect(yard.log).toEqual(["prepare 2", "start 2", "stop 2", "abort 2"]);
    expect(version()).toBe(1);
    expect(await follower.follow(2)).toMatchObject({ ok: true });
    expect(version()).toBe(2);
    await follower.stop();
  });

  it("says why it cannot, with the place, and serves on", async () => {
    const { follower, next, version } = await pair({ "cages/shop/a.ts": shop(1) });
    yard.refuse = (candidate) => {
      if (candidate.id === 2 && yard.loader.live.some(({ id }) => id === 2)) throw new Error("no room here");
    };
    await next(shop(2));
    expect(await follower.prepare(2)).toMatchObject({ message: expect.stringContaining("no room here") });
    expect(version()).toBe(1);
    expect(yard.log).not.toContain("commit 2");
    await follower.stop();
  });

  it("makes generations itself when it leads, from the number on, once the other one follows", async () => {
    const { follower, next, version } = await pair({ "cages/shop/a.ts": shop(1) });
    await next(shop(2));
    await follower.follow(2);
    await yard.loader.follows();
    await expect(yard.loader.reload("command")).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await follower.lead();
    yard.write({ "cages/shop/a.ts": shop(3) });
    expect(await follower.catchUp()).toMatchObject({ ok: true, generation: 3, files: ["cages/shop/a.ts"] });
    expect(version()).toBe(3);
    expect(follower.history().map(({ generation }) => generation)).toEqual([1, 2, 3]);
    await follower.stop();
  });
});

describe("a loader whose others must agree", () => {
  it("swaps when they do, and forgets the generation when they do not: its number and its texts", async () => {
    let refusal: Error | undefined;
    const asked: number[] = [];
    yard = await Yard.make(
      { "cages/shop/a.ts": shop(1) },
      {
        agree: async (candidate, kept) => {
          await kept();
          asked.push(candidate.id);
          if (refusal !== undefined) throw refusal;
        },
      },
    );
    await yard.loader.start();
    refusal = new Error("process 2 cannot");
    expect(await yard.save({ "cages/shop/a.ts": shop(2) })).toMatchObject({ ok: false });
    expect(yard.loader.failure?.message).toContain("process 2 cannot");
    await yard.loader.archive.flush();
    expect([yard.loader.current.id, yard.loader.archive.generations]).toEqual([1, [1]]);
    expect(yard.log).toContain("stop 2");
    refusal = undefined;
    expect(await yard.save({ "cages/shop/a.ts": shop(3) })).toMatchObject({ ok: true, generation: 2 });
    expect(asked).toEqual([2, 2]);
  });
});
