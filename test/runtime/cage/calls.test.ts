/** Calls that a cage answers, in a real one. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { CageError } from "../../../runtime/errors.ts";
import { current } from "../../../runtime/request/request.ts";
import { type TestCage, testCage } from "../../../runtime/testing.ts";

let root: string;
let billing: TestCage;
let shop: TestCage;

const write = (file: string, text: string): void => writeFileSync(join(root, file), text);
const allows = (whom: string): void =>
  write(
    "config/billing.ts",
    `export const config = { allow: { "*": [${whom}] }, canary: { share: 0.5, requests: 100_000, errorRate: 1 } };\n`,
  );

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "calls-"));
  for (const folder of ["cages/billing", "cages/shop", "config"]) mkdirSync(join(root, folder), { recursive: true });
  write(
    "cages/billing/api.ts",
    'import { request } from "#runtime";\nexport const generation = () => request.generation;\nlet go = () => {};\nexport const wait = () => new Promise((done) => { go = () => done("waited"); });\nexport const end = () => go();\n',
  );
  write("cages/shop/api.ts", "export const nothing = 1;\n");
  allows('"shop"');
  billing = await testCage("billing", { root });
  shop = await testCage("shop", { root, beside: billing });
});
afterAll(async () => {
  await shop.close();
  await billing.close();
  rmSync(root, { recursive: true, force: true });
});

it("are judged by the `allow` of the generation that serves them, of two during a trial by its own", async () => {
  const ask = () =>
    shop
      .run(() => current().services.call({ cage: "billing" }, "generation", []))
      .catch((error: CageError) => error.code);
  expect(await ask()).toBe(1);
  allows("");
  expect(await billing.reload()).toMatchObject({ ok: true, generation: 2 });
  const answers = [];
  for (let n = 0; n < 10; n++) answers.push(await ask());
  expect(answers.sort()).toEqual([1, 1, 1, 1, 1, ...Array.from({ length: 5 }, () => "FORBIDDEN")]);
});

it("are bounded by what its configuration says of how it is called", async () => {
  const ask = (path: string) => shop.run(() => current().services.call({ cage: "billing" }, path, []));
  write("config/billing.ts", "export const config = { called: { running: 1, waiting: 0 } };\n");
  expect(await billing.reload()).toMatchObject({ ok: true });
  const waiting = ask("wait");
  await expect.poll(() => ask("generation").catch((error: CageError) => error.code)).toBe("OVERLOADED");
  await billing.run(() => billing.module<{ end(): void }>("api").end());
  expect(await waiting).toBe("waited");
  write("config/billing.ts", "export const config = { called: { timeoutMs: 20 } };\n");
  expect(await billing.reload()).toMatchObject({ ok: true });
  await expect(ask("wait")).rejects.toMatchObject({ code: "EXPIRED" });
});
