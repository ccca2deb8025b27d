/** Types as authors meet them: the files beside this one, and projects with the stock tsconfig.json, through TypeScript. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { problemsOf } from "../kit/types.ts";

const home = resolve(import.meta.dirname, "../..");
const roots: string[] = [];
afterAll(() => {
  for (const root of roots) rmSync(root, { recursive: true, force: true });
});

/** A project as a clone is one: its own cages and config; package.json and tsconfig.json as they are shipped. */
function project(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), "types-"));
  roots.push(root);
  for (const name of ["package.json", "tsconfig.json"]) cpSync(join(home, name), join(root, name));
  for (const name of ["runtime", "lib", "node_modules"]) symlinkSync(join(home, name), join(root, name));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}
const problems = (files: Readonly<Record<string, string>>): string[] => {
  const root = project(files);
  return problemsOf(
    root,
    Object.keys(files).map((path) => join(root, path)),
  );
};

describe("the types", () => {
  it("are as the files beside this one expect, errors included", () => {
    const files = readdirSync(import.meta.dirname).filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"));
    expect(files.length).toBeGreaterThan(1);
    expect(
      problemsOf(
        home,
        files.map((name) => join(import.meta.dirname, name)),
      ),
    ).toEqual([]);
  }, 60_000);
});

const shared = {
  "cages/.shared/mail.ts": `export const from = "us";
export async function send(to: string): Promise<string> {
  return \`\${from}: \${to}\`;
}
`,
};
const caller = {
  "cages/shop/orders.ts": `import { send } from "#shared/mail.ts";
import { twice } from "./lib/money.ts";
export const told: Promise<string> = send(twice("ann"));
`,
  "cages/shop/lib/money.ts": `export const twice = (text: string): string => text + text;\n`,
};
const override = (body: string) => ({
  "cages/shop/mail.ts": `import type { Overrides } from "#runtime";
export type Fits = Overrides<typeof import("#shared/mail.ts"), typeof import("./mail.ts")>;
${body}
`,
});

describe("a project with the stock tsconfig", () => {
  it("checks #shared imports, a cage's own lib/, and an override that fits and calls what it overrides", () => {
    const fits = override(`import * as shared from "#shared/mail.ts";
export const { from } = shared;
export const send = (to: string, copy = ""): Promise<string> => shared.send(to + copy);`);
    expect(problems({ ...shared, ...caller, ...fits })).toEqual([]);
  }, 60_000);

  it("refuses an override that others could not use as what it overrides", () => {
    const takesMore = override(`export const from = "me";
export const send = async (to: string, subject: string): Promise<string> => to + subject;`);
    expect(problems({ ...shared, ...caller, ...takesMore })).toEqual([
      expect.stringMatching(/^cages\/shop\/mail\.ts:2: TS2344 .*does not satisfy the constraint.*send/),
    ]);
    const lacks = override(`export const send = async (to: string): Promise<string> => to;`);
    expect(problems({ ...shared, ...caller, ...lacks })).toEqual([
      expect.stringMatching(/^cages\/shop\/mail\.ts:2: TS2344 .*Property 'from' is missing/),
    ]);
  }, 60_000);

  it("sees a wrong use of a shared module and of a cage's lib/, and a mistake in cages/.shared itself", () => {
    const wrong = {
      "cages/shop/orders.ts": caller["cages/shop/orders.ts"]
        .replace(`twice("ann")`, "twice(1)")
        .replace("send(", "send(1, "),
      "cages/.shared/mail.ts": `${shared["cages/.shared/mail.ts"]}export const wrong: number = from;\n`,
    };
    const root = project({ ...caller, ...wrong });
    // By what the tsconfig includes: a dot folder is not, unless it is named.
    const said = problemsOf(root).filter((each) => each.startsWith("cages/"));
    expect([...new Set(said.map((each) => each.split(" TS")[0]))].sort()).toEqual([
      "cages/.shared/mail.ts:5:",
      "cages/shop/orders.ts:3:",
    ]);
  }, 60_000);
});
