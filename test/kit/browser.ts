/** Headless Chromium for tests: one for a file, a context for each person. */
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { pathOf } from "./needs.ts";

export type { Browser, BrowserContext, Page };

export const launchBrowser = (): Promise<Browser> =>
  chromium.launch({
    executablePath: pathOf("chromium"),
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });

/** A page that fails the test on an error of its own script or a violation of its policy. */
export async function openPage(context: BrowserContext, faults: string[]): Promise<Page> {
  const page = await context.newPage();
  page.on("pageerror", (error) => faults.push(`${page.url()}: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !/Failed to load resource/.test(message.text()))
      faults.push(`${page.url()}: ${message.text()}`);
  });
  return page;
}
