import { existsSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { alone } from "../../../runtime/cage/claim.ts";

let folder: string;
let lock: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "claim-"));
  lock = join(folder, "lock");
});
afterEach(() => rmSync(folder, { recursive: true }));

test("only one works at a time, and a failure lets the next one in", async () => {
  let inside = 0;
  const outcomes = await Promise.allSettled(
    [1, 2, 3, 4].map((n) =>
      alone(lock, async () => {
        expect(++inside).toBe(1);
        await new Promise((resolve) => setImmediate(resolve));
        inside--;
        if (n === 2) throw new Error("failed");
      }),
    ),
  );
  expect(outcomes.map((outcome) => outcome.status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"]);
  expect(existsSync(lock)).toBe(false);
});

test("a lock left by a process that was killed holding it is taken over", async () => {
  writeFileSync(lock, "");
  const long = new Date(Date.now() - 60_000);
  utimesSync(lock, long, long);
  expect(await alone(lock, async () => "in")).toBe("in");
});
