/** When types are checked, and what a check is about. With the real compiler. */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Events, events } from "../../../runtime/health/events.ts";
import { Types, type TypesMode } from "../../../runtime/modules/types.ts";
import { Yard } from "./yard.ts";

const home = resolve(import.meta.dirname, "../../..");
/** A check at the lowest priority, on a machine that does other things too. */
const slow = 120_000;

let yard: Yard;
let types: Types;
let mode: TypesMode;
const done: Events["types.done"][] = [];
const silenced: string[] = [];
const offs: (() => void)[] = [];

function typesOf(where = { root: yard.root, home, cage: "shop" }): Types {
  return new Types({
    where,
    stateDir: join(yard.root, "state"),
    mode: () => mode,
    current: () => yard.loader.current,
    broken: () => yard.loader.failure !== undefined,
    quietMs: 10,
    startMs: 10,
    lookMs: 50,
  });
}

const result = (): Promise<Events["types.done"]> =>
  new Promise((resolve) => {
    const off = events.on("types.done", (each) => {
      off();
      resolve(each);
    });
  });

async function start(files: Record<string, string>): Promise<Events["types.done"]> {
  yard = await Yard.make(files);
  types = typesOf();
  types.start();
  const first = result();
  await yard.loader.start();
  return await first;
}

beforeEach(() => {
  mode = "background";
  done.length = silenced.length = 0;
  offs.push(
    events.on("types.done", (each) => void done.push(each)),
    events.on("types.off", ({ why }) => void silenced.push(why)),
  );
});
afterEach(async () => {
  for (const off of offs.splice(0)) off();
  await types.stop();
  await yard.away();
});

describe("a check of types", () => {
  test(
    "is about the newest generation, whatever was saved while one ran",
    async () => {
      await start({ "cages/shop/a.ts": "export const a: number = 1;\n" });
      const next = result();
      for (const value of ['"x"', '"y"', "4"])
        await yard.save({ "cages/shop/a.ts": `export const a: number = ${value};\n` });
      await yard.save({ "cages/shop/a.ts": 'export const a: number = "z";\n' });
      expect(await next).toMatchObject({ generation: 5, count: 1, errors: [{ line: 1, column: 14, code: "TS2322" }] });
      expect(done.map((each) => each.generation)).toEqual([1, 5]);
    },
    slow,
  );

  test(
    "is made again when another cage's api changes, which makes no generation here",
    async () => {
      const first = await start({
        "cages/bank/api.ts": "export const cents = (): number => 1;\n",
        "cages/shop/a.ts":
          'import type * as Bank from "../bank/api.ts";\nexport const cents: ReturnType<typeof Bank.cents> = 1;\n',
      });
      expect(first.count).toBe(0);
      const next = result();
      yard.write({ "cages/bank/api.ts": "export const cents = (): string => `1`;\n" });
      expect(await next).toMatchObject({ generation: 1, count: 1, errors: [{ file: "cages/shop/a.ts", line: 2 }] });
    },
    slow,
  );

  test(
    "knows an override, also one that imports what it overrides",
    async () => {
      const { errors } = await start({
        "cages/.shared/mail.ts": "export const mail = (to: string): string => to;\n",
        "cages/.shared/post.ts": "export const post = (to: string): string => to;\n",
        "cages/shop/mail.ts": 'export * from "#shared/mail.ts";\nexport const bad: number = "mail";\n',
        "cages/shop/post.ts": "export const post = (to: string): { to: string } => ({ to });\n",
        "cages/shop/a.ts":
          'import { mail } from "#shared/mail.ts";\nimport { post } from "#shared/post.ts";\nexport const a: string = mail("x") + post("y").to;\n',
      });
      expect(errors).toMatchObject([{ file: "cages/shop/mail.ts", line: 2, code: "TS2322" }]);
    },
    slow,
  );

  test(
    "of unchanged code is not made again after a restart, and says the same",
    async () => {
      const first = await start({ "cages/shop/a.ts": 'export const a: number = "one";\n' });
      await types.stop();
      const info = join(yard.root, "state/shop/types/info.json");
      const { mtimeMs } = statSync(info);
      types = typesOf();
      types.start();
      const again = result();
      await yard.loader.stop();
      await yard.loader.start();
      expect(await again).toMatchObject({ generation: 2, count: 1, errors: first.errors });
      expect(statSync(info).mtimeMs).toBe(mtimeMs);
    },
    slow,
  );

  test(
    "says nothing about a save that does not load, and takes up again when it is taken back",
    async () => {
      await start({ "cages/shop/a.ts": "export const a: number = 1;\n" });
      await yard.save({ "cages/shop/a.ts": "export const a: number = ;\n" });
      // "done", or "waiting" when a look came upon the file before the reload had failed.
      expect(types.status()).toMatchObject({ generation: 1, count: 0 });
      const next = result();
      await yard.save({ "cages/shop/a.ts": "export const a: number = 1;\n" });
      expect(await next).toMatchObject({ generation: 1, count: 0 });
      expect(done).toHaveLength(2);
    },
    slow,
  );

  test("that cannot be made because typescript is not installed is said once, and stands in nobody's way", async () => {
    yard = await Yard.make({ "cages/shop/a.ts": "export const a = 1;\n" });
    const elsewhere = mkdtempSync(join(tmpdir(), "cage-home-"));
    types = typesOf({ root: yard.root, home: elsewhere, cage: "shop" });
    mode = "gate";
    await yard.loader.start();
    await types.gate(yard.loader.current);
    await types.gate(yard.loader.current);
    expect(silenced).toEqual([expect.stringContaining("typescript is not installed; npm install")]);
    expect(types.status().state).toBe("off");
    rmSync(elsewhere, { recursive: true });
  });
});
