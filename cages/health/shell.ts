/**
 * The frame around every page: one HTML file with its style and script, sent once; after that only the content of the
 * page is asked for, once a second. Nothing else is loaded from anywhere, and the policy sent along says so.
 */
import { createHash } from "node:crypto";
import { each, type Html, html } from "#lib/template/html.ts";
import type { Page } from "./pages/page.ts";
import text from "./shell.html";

const hashOf = (tag: string): string => {
  const body = new RegExp(`<${tag}[^>]*>([\\s\\S]*?)</${tag}>`).exec(text)?.[1] ?? "";
  return `'sha256-${createHash("sha256").update(body).digest("base64")}'`;
};

export const headers: Readonly<Record<string, string>> = {
  "content-type": "text/html; charset=utf-8",
  "cache-control": "no-store",
  "content-security-policy": `default-src 'none'; style-src ${hashOf("style")}; script-src ${hashOf("script")}; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
  "referrer-policy": "same-origin",
  "x-content-type-options": "nosniff",
};

/** The part that changes: the bar and the page's own content. */
export function content(pages: readonly Page[], path: string, body: Html): string {
  const places = pages.filter((page) => !page.path.includes(":"));
  return String(
    html`<nav><strong>Cage</strong>${each(
      places,
      (page) => page.path,
      (page) => html`<a href="${page.path}" aria-current="${page.path === path ? "page" : null}">${page.title({})}</a>`,
    )}<span class="live">${new Date().toLocaleTimeString("en-GB")}</span></nav><main>${body}</main>`,
  );
}

/** A whole document. Both replacements are functions: `$&` in an error's text must stay what it is. */
export const whole = (title: string, part: string): string =>
  text.replace("{title}", () => `${title.replace(/[<&]/g, "")} · Cage`).replace("{page}", () => part);
