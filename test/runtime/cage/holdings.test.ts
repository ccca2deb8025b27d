import { beforeEach, describe, expect, it } from "vitest";
import { Holdings } from "../../../runtime/cage/holdings.ts";

const log: string[] = [];
const open = (name: string) => async () => {
  log.push(`open ${name}`);
  return name;
};
let holdings: Holdings<string>;
beforeEach(() => {
  log.length = 0;
  holdings = new Holdings(async (name) => void log.push(`close ${name}`));
});

describe("what a cage holds open for its generations", () => {
  it("is kept while any generation has it, and opened once", async () => {
    const first = await holdings.take("db 1", open("one"));
    const second = await holdings.take("db 1", open("another"));
    expect([first.value, second.value]).toEqual(["one", "one"]);
    await first.release();
    await first.release();
    expect(log).toEqual(["open one"]);
    await second.release();
    expect(log).toEqual(["open one", "close one"]);
  });

  it("when changed, is opened before the old one closes, which waits for its last generation", async () => {
    const old = await holdings.take("db 1", open("old"));
    const held = await holdings.take("db 1", open("old"));
    await holdings.take("db 2", open("new"));
    await old.release();
    expect(log).toEqual(["open old", "open new"]);
    await held.release();
    expect(log).toEqual(["open old", "open new", "close old"]);
  });

  it("that does not open is forgotten, so that the next save tries again", async () => {
    const broken = async () => {
      throw new Error("no such host");
    };
    await expect(holdings.take("db 1", broken)).rejects.toThrow("no such host");
    expect((await holdings.take("db 1", open("mended"))).value).toBe("mended");
  });
});
