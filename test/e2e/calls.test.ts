/** Calls between real cages in processes of their own: streams, cancelling through two of them, who may call whom. */
import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createProject, eventually, type Project } from "../kit/project.ts";

let project: Project;
const call = async (...args: string[]): Promise<unknown> => JSON.parse(await project.ok("call", ...args)) as unknown;

beforeAll(async () => {
  project = createProject({
    "cages/back/api.ts": `export * as feed from "./feed.ts";\n`,
    "cages/back/feed.ts": `import { config, failure, request, Terminal, z } from "#runtime";
const state = { hanging: 0, closed: 0, stopped: "" };
export const SoldOut = failure("SOLD_OUT", z.object({ sku: z.string() }));
export const seen = () => ({ ...state });
export const buy = (sku: string) => { throw SoldOut({ sku }); };
export const never = () => { throw new Terminal("not today"); };
export async function* rows(count: number) {
  try {
    for (let n = 0; n < count; n++) {
      // It is there as long as the request is, which a stream keeps.
      config();
      yield { n, at: new Date(n), big: BigInt(n) };
    }
  } finally {
    state.closed++;
  }
}
export async function* double(items: AsyncIterable<number>) {
  for await (const item of items) yield 2 * item;
}
export const hang = () => new Promise<void>((_, reject) => {
  state.hanging++;
  const { signal } = request;
  signal.addEventListener("abort", () => {
    state.stopped = signal.reason.code;
    reject(signal.reason);
  });
});
`,
    "config/back.ts": `import { defineCage } from "#runtime";\nexport const config = defineCage({ allow: { feed: ["middle"] } });\n`,
    "cages/middle/api.ts": `import { cage, CageError, Cancelled, Expired, isFailure, Terminal } from "#runtime";
import type * as Back from "../back/api.ts";
const { feed } = cage<typeof Back>("back");
export const hang = () => feed.hang();
export const seen = () => feed.seen();
export async function sum(count: number): Promise<unknown> {
  let sum = 0;
  let last;
  for await (const row of feed.rows(count)) { sum += row.n; last = row; }
  return { sum, date: last?.at instanceof Date, big: typeof last?.big };
}
export async function first(): Promise<number> {
  for await (const row of feed.rows(1_000_000)) return row.n;
  return -1;
}
export async function late(): Promise<boolean> {
  try {
    for await (const _ of cage<typeof Back>("back", { timeoutMs: 150 }).feed.rows(1e12));
  } catch (error) { return error instanceof Expired; }
  return false;
}
export async function aborted(): Promise<unknown> {
  const controller = new AbortController();
  let seen = 0;
  try {
    for await (const _ of cage<typeof Back>("back", { signal: controller.signal }).feed.rows(1e12))
      if (++seen === 100) controller.abort();
  } catch (error) { return error instanceof Cancelled; }
  return false;
}
export async function both(): Promise<number[]> {
  async function* numbers() { yield 1; yield 2; }
  const found: number[] = [];
  for await (const each of feed.double(numbers())) found.push(each);
  return found;
}
export async function errors(): Promise<unknown[]> {
  const found: unknown[] = [];
  try { await feed.buy("tea"); } catch (error) { if (isFailure<typeof Back.feed.SoldOut>(error, "SOLD_OUT")) found.push(error.details.sku); }
  try { await feed.never(); } catch (error) { found.push(error instanceof Terminal, error instanceof CageError); }
  return found;
}
`,
    "cages/front/api.ts": `import { cage, Cancelled, CageError, Expired } from "#runtime";
import type * as Back from "../back/api.ts";
import type * as Middle from "../middle/api.ts";
const middle = cage<typeof Middle>("middle");
export async function cancelled(): Promise<boolean> {
  const controller = new AbortController();
  const hanging = cage<typeof Middle>("middle", { signal: controller.signal }).hang().catch((error) => error instanceof Cancelled);
  while ((await middle.seen()).hanging === 0);
  controller.abort();
  return (await hanging) === true;
}
export const expired = () => cage<typeof Middle>("middle", { timeoutMs: 100 }).hang().catch((error) => error instanceof Expired);
export const around = () => cage<typeof Back>("back").feed.seen().catch((error: CageError) => [error.code, error.message]);
`,
  });
  await project.ok("start");
});
afterAll(() => project.remove());

describe("calls between cages", () => {
  it("stream, with types that JSON loses, and close the generator whose reader left", async () => {
    expect(await call("middle", "sum", "2000")).toEqual({ sum: 1_999_000, date: true, big: "bigint" });
    expect(await call("middle", "first")).toBe(0);
    await eventually(
      "both are closed",
      async () => ((await call("middle", "seen")) as { closed: number }).closed === 2,
    );
    expect(await call("middle", "both")).toEqual([2, 4]);
  });

  it("end a stream at its limit, at both ends", async () => {
    expect(await call("middle", "late")).toBe(true);
    await eventually("it is closed", async () => ((await call("middle", "seen")) as { closed: number }).closed === 3);
  });

  it("end a stream at its caller's signal, at both ends", async () => {
    expect(await call("middle", "aborted")).toBe(true);
    await eventually("it is closed", async () => ((await call("middle", "seen")) as { closed: number }).closed === 4);
  });

  it("carry errors that are known by class, and declared ones by code", async () => {
    expect(await call("middle", "errors")).toEqual(["tea", true, true]);
  });

  it("cancel the work of a cage called by the cage that was called, at its caller's signal and at its limit", async () => {
    const stopped = async () => ((await call("middle", "seen")) as { stopped: string }).stopped;
    expect(await call("front", "cancelled")).toBe(true);
    await eventually("back was told", async () => (await stopped()) === "CANCELLED");
    expect(await call("front", "expired")).toBe(true);
    await eventually("back knew", async () => ((await call("middle", "seen")) as { hanging: number }).hanging === 2);
  });

  it("are refused to whom `allow` does not name, with what to change", async () => {
    const sentence = /may not call feed.seen of back; to let it, add "\w+" to allow.feed in config\/back.ts/;
    expect(await call("front", "around")).toEqual(["FORBIDDEN", expect.stringMatching(sentence)]);
    const ran = await project.cage("call", "back", "feed.seen");
    expect([ran.code, ran.stderr]).toEqual([1, expect.stringMatching(sentence)]);
    expect(await call("back", "self.health")).toMatchObject({ ok: true });
  });

  it("are refused to whom cannot prove its name", async () => {
    const key = join(project.root, "state/keys/cli");
    chmodSync(key, 0o600);
    rmSync(key);
    writeFileSync(key, "another", { mode: 0o600 });
    // The key is read at each handshake: one that both sides find is good, whoever made it.
    expect(await call("middle", "both")).toEqual([2, 4]);
    rmSync(join(project.root, "state/keys/middle"));
    const ran = await project.cage("call", "middle", "both");
    expect([ran.code, ran.stderr]).toEqual([1, expect.stringMatching(/could not prove it|has no key/)]);
  });
});
