import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { keptBundle } from "#lib/assets/kept.ts";
import { createStore } from "#lib/assets/store.ts";

test("an asset is named by its content, immutable, and compressed as asked", async () => {
  const store = createStore();
  const text = "body { color: red }\n".repeat(100);
  const name = store.put("site.css", text);
  expect(name).toMatch(/^site-[0-9a-f]{12}\.css$/);
  expect(store.put("site.css", text)).toBe(name);
  expect(store.put("site.css", `${text} `)).not.toBe(name);
  const plain = await store.get(name);
  expect(plain).toMatchObject({
    status: 200,
    headers: { "content-type": "text/css; charset=utf-8", "cache-control": expect.stringContaining("immutable") },
  });
  expect(String(plain?.body)).toBe(text);
  const br = await store.get(name, "gzip, deflate, br");
  expect(br?.headers["content-encoding"]).toBe("br");
  expect(String(brotliDecompressSync(br?.body ?? ""))).toBe(text);
  expect(String(gunzipSync((await store.get(name, "gzip"))?.body ?? ""))).toBe(text);
  expect(await store.get(name, "br", `"x", ${plain?.headers["etag"]}`)).toMatchObject({
    status: 304,
    body: new Uint8Array(),
  });
});

test("what it does not have it does not answer, and names of no known kind are refused", async () => {
  const store = createStore();
  expect(await store.get("__proto__")).toBeUndefined();
  expect(() => store.put("x.exe", "")).toThrow("no kind that assets have");
});

test("the oldest go when the bound is reached, and what is put again counts as new", async () => {
  const store = createStore({ maxBytes: 25 });
  const [a, b] = [store.put("a.txt", "a".repeat(10)), store.put("b.txt", "b".repeat(10))];
  store.put("a.txt", "a".repeat(10));
  store.put("c.txt", "c".repeat(10));
  expect([(await store.get(a)) !== undefined, (await store.get(b)) !== undefined]).toEqual([true, false]);
});

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "kept-"));
});
afterAll(() => rm(root, { recursive: true }));

test("a bundle is made anew only when a source, or what was asked, changed", async () => {
  const file = join(root, "state/web.json");
  await writeFile(join(root, "a.ts"), "import { b } from './b.ts'; console.log(b);");
  await writeFile(join(root, "b.ts"), "export const b = 1;");
  const make = (minify = false) =>
    keptBundle({ root, entries: { a: "a.ts" }, outdir: "out", platform: "browser", hashed: true, minify }, file);
  const first = await make();
  expect(first.fresh).toBe(true);
  const second = await make();
  expect(second.fresh).toBe(false);
  expect(second.files).toEqual(first.files);
  await writeFile(join(root, "b.ts"), "export const b = 2;");
  const third = await make();
  expect(third.fresh).toBe(true);
  expect(third.files[0]?.name).not.toBe(first.files[0]?.name);
  expect((await make(true)).fresh).toBe(true);
  await writeFile(file, (await readFile(file, "utf8")).slice(0, 100));
  expect((await make(true)).fresh).toBe(true);
  await rm(join(root, "b.ts"));
  await expect(make(true)).rejects.toMatchObject({ code: "BUNDLE" });
});
