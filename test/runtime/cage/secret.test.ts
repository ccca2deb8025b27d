import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import { keepSecretsIn, secret } from "../../../runtime/cage/secret.ts";

let folder: string;
beforeEach(() => keepSecretsIn((folder = mkdtempSync(join(tmpdir(), "secret-")))));
afterEach(() => rmSync(folder, { recursive: true }));

test("a secret is made once, for this user only, and shows its name and nothing else", () => {
  const value = secret("cookies").reveal();
  expect(value).toHaveLength(43);
  expect(secret("cookies").reveal()).toBe(value);
  expect(readdirSync(join(folder, "secrets"))).toEqual(["cookies"]);
  expect(statSync(join(folder, "secrets/cookies")).mode & 0o777).toBe(0o600);
  for (const shown of [JSON.stringify(secret("cookies")), String(secret("cookies")), inspect(secret("cookies"))])
    expect(shown).not.toContain(value);
});

test("an empty secret, as a full disk may leave one, signs nothing", () => {
  secret("other").reveal();
  writeFileSync(join(folder, "secrets/cookies"), "");
  expect(() => secret("cookies").reveal()).toThrow(/is empty; remove it/);
});

test("a name is no path", () => {
  expect(() => secret("../cookies")).toThrow(/a secret's name/);
});
