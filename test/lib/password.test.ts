import { expect, test } from "vitest";
import { checkPassword, hashPassword } from "../../lib/password.ts";
import { newToken, tokenHash } from "../../lib/token.ts";

test("a password is recognised by what is stored, in any Unicode form, and no other is", async () => {
  const stored = await hashPassword("pass\u00e9word");
  expect(stored).toMatch(/^scrypt:15:8:3:[0-9a-f]{32}:[0-9a-f]{64}$/);
  expect(await checkPassword("passe\u0301word", stored)).toBe(true);
  expect(await checkPassword("passeword", stored)).toBe(false);
});

test("the same password is stored differently each time", async () => {
  const [one, two] = await Promise.all([hashPassword("same"), hashPassword("same")]);
  expect(one).not.toBe(two);
});

test("what was hashed with cheaper parameters is still recognised by them", async () => {
  // scryptSync("old", salt 16 zero bytes, 32, { N: 1024, r: 8, p: 1 })
  const { scryptSync } = await import("node:crypto");
  const key = scryptSync("old", Buffer.alloc(16), 32, { N: 1024, r: 8, p: 1 }).toString("hex");
  expect(await checkPassword("old", `scrypt:10:8:1:${"0".repeat(32)}:${key}`)).toBe(true);
});

test("nobody's password costs the same and is never right; a foreign form is an error", async () => {
  expect(await checkPassword("anything", undefined)).toBe(false);
  await expect(checkPassword("x", "md5:123")).rejects.toThrow(/not of a form/);
});

test("a waiter leaves with its signal, and too many are refused at once", async () => {
  const gone = new AbortController();
  const cheap = Promise.allSettled(Array.from({ length: 40 }, () => hashPassword("x", gone.signal)));
  gone.abort(Object.assign(new Error("the request ended"), { code: "EXPIRED" }));
  const codes = (await cheap).map((each) => (each.status === "rejected" ? each.reason.code : "done"));
  expect(codes.filter((code) => code === "OVERLOADED")).toHaveLength(6);
  expect(codes.filter((code) => code === "EXPIRED")).toHaveLength(34);
  // The two that ran keep their slots until they end; then there is room again.
  expect(await checkPassword("y", await hashPassword("y"))).toBe(true);
});

test("a token has 256 bits and is kept as its hash", () => {
  expect(newToken()).toMatch(/^[A-Za-z0-9_-]{43}$/);
  expect(newToken()).not.toBe(newToken());
  expect(tokenHash("x")).toBe("LXEWQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE");
});
