/** What a page loads before its own components: adoption, frames, forms, acts, and Orbit's client. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { scriptOf } from "./chromium.ts";

/** Kilobytes by brotli; a page's script should arrive with its first packets. */
const most = 10;

test(`the client runtime with Orbit's client is at most ${most} KB`, async () => {
  const folder = await mkdtemp(join(import.meta.dirname, ".size-"));
  try {
    const file = join(folder, "entry.ts");
    await writeFile(
      file,
      'export { live } from "#lib/template/browser.ts"; export { connect } from "#lib/orbit.ts"; export * from "#lib/template/html.ts";',
    );
    const bytes = brotliCompressSync(await scriptOf(file, true)).length;
    expect(bytes / 1024).toBeLessThan(most);
  } finally {
    await rm(folder, { recursive: true });
  }
});
