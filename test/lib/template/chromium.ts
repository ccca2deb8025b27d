/** One Chromium for a test file, and pages in it that hold server markup and the client's script. */
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { bundle } from "#lib/assets/bundle.ts";
import { pathOf } from "../../kit/needs.ts";

const root = join(import.meta.dirname, "../../..");

export async function openBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: pathOf("chromium"),
    args: "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split(
      " ",
    ),
  });
}

/** The bundle of one file for the browser, as text. */
export async function scriptOf(file: string, minify = false): Promise<string> {
  const { files } = await bundle({
    root,
    entries: { client: file },
    outdir: "state/test",
    platform: "browser",
    write: false,
    minify,
    alias: { "#lib/template/html.ts": join(root, "lib/template/browser/html.ts") },
  });
  return files[0]!.text;
}

/** Puts markup into a fresh document of `page` by the parser, as a server's answer would be, and starts the script. */
export async function load(page: Page, body: string, script: string): Promise<void> {
  await page.setContent(`<!doctype html><html lang="en"><head><title>test</title></head><body>${body}</body></html>`);
  await page.addScriptTag({ type: "module", content: script });
  await page.waitForFunction("globalThis.surface !== undefined");
}
