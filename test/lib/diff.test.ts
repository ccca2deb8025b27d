import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { unified } from "../../lib/diff.ts";

const folder = mkdtempSync(join(tmpdir(), "cage-diff-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("a unified diff", () => {
  it("shows what changed between three lines of context", () => {
    const before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
    expect(unified("a.ts", before, before.replace("5", "five"))).toBe(
      "--- a/a.ts\n+++ b/a.ts\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n",
    );
  });

  it("is empty for equal texts", () => {
    expect(unified("a.ts", "same\n", "same\n")).toBe("");
  });

  it("names nothing for a file that came or went", () => {
    expect(unified("a.ts", undefined, "one\n")).toBe("--- /dev/null\n+++ b/a.ts\n@@ -0,0 +1 @@\n+one\n");
    expect(unified("a.ts", "one\n", undefined)).toBe("--- a/a.ts\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n");
  });

  it("says where a last line has no end", () => {
    expect(unified("a.ts", "one\n", "one")).toBe(
      "--- a/a.ts\n+++ b/a.ts\n@@ -1 +1 @@\n-one\n+one\n\\ No newline at end of file\n",
    );
  });

  it("is the shortest one", () => {
    const edits = unified("a", "a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n").match(/^[-+][a-c]$/gm);
    expect(edits).toHaveLength(5);
  });

  it("of texts without anything in common is bounded in time", () => {
    const lines = (name: string) => Array.from({ length: 20_000 }, (_, i) => `${name}${i}\n`).join("");
    const startedAt = performance.now();
    expect(unified("a", lines("a"), lines("b")).split("\n")).toHaveLength(40_004);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });

  it("is applied by patch, whatever the texts", () => {
    const text = fc
      .tuple(fc.array(fc.constantFrom("a", "b", "c", "", "d e"), { maxLength: 30 }), fc.boolean())
      .map(([lines, ended]) => lines.join("\n") + (ended && lines.length > 0 ? "\n" : ""));
    fc.assert(
      fc.property(text, text, (before, after) => {
        const diff = unified("x", before, after);
        if (before === after) return diff === "";
        const file = join(folder, "x");
        writeFileSync(file, before);
        execFileSync("patch", ["--silent", "--force", "--no-backup-if-mismatch", file], { input: diff });
        let patched = "";
        try {
          patched = readFileSync(file, "utf8");
        } catch {
          // patch removes a file that became empty.
        }
        return patched === after;
      }),
      { numRuns: 100 },
    );
  });
});
