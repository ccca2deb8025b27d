import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundle } from "#lib/assets/bundle.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "bundle-"));
  await writeFile(join(root, "shared.ts"), "export const shared: string = 'shared by both';\n");
  await writeFile(join(root, "a.ts"), "import { shared } from './shared.ts'; console.log('a', shared);\n");
  await writeFile(
    join(root, "b.ts"),
    "import { shared } from './shared.ts'; import '#runtime'; console.log('b', shared);\n",
  );
  await writeFile(join(root, "bad.ts"), "export const = 1;\n");
  await writeFile(join(root, "look.css"), ".a { .b { color: red } }\n");
});
afterAll(() => rm(root, { recursive: true }));

test("a bundle for node has plain names, is written, and leaves what is external as imports", async () => {
  const { files, inputs } = await bundle({
    root,
    entries: { first: "a.ts", second: "b.ts" },
    outdir: "out",
    platform: "node",
    splitting: true,
    external: ["#runtime"],
  });
  const second = files.find((file) => file.entry === "second");
  expect(second?.name).toBe("second.js");
  expect(second?.text).toContain('import "#runtime"');
  expect(second?.imports).toHaveLength(1);
  expect(await readFile(join(root, "out/second.js"), "utf8")).toBe(second?.text);
  expect([...inputs].sort()).toEqual([join(root, "a.ts"), join(root, "b.ts"), join(root, "shared.ts")]);
});

test("a bundle for the browser can carry hashes in its names and stay in memory", async () => {
  const made = () =>
    bundle({
      root,
      entries: { a: "a.ts", look: "look.css" },
      outdir: "web",
      platform: "browser",
      hashed: true,
      write: false,
      minify: true,
    });
  const [one, two] = [await made(), await made()];
  expect(one.files.map((file) => file.name).sort()).toEqual(two.files.map((file) => file.name).sort());
  expect(one.files.find((file) => file.entry === "a")?.name).toMatch(/^a-[A-Z0-9]{8}\.js$/);
  expect(one.files.find((file) => file.entry === "look")?.name).toMatch(/^look-[A-Z0-9]{8}\.css$/);
  await expect(readFile(join(root, "web", one.files[0]!.name))).rejects.toThrow("ENOENT");
});

test("a syntax error names the file, the line and shows the code", async () => {
  const failed = bundle({ root, entries: { bad: "bad.ts" }, outdir: "out", platform: "node", write: false });
  await expect(failed).rejects.toMatchObject({
    code: "BUNDLE",
    message: expect.stringMatching(/bad\.ts:1:13[\s\S]*export const = 1/),
  });
});
