/** The document around every page. Only rendered on the server: what changes in an open page are the roots within. */
import { type Html, html, jsonScript } from "#lib/template/html.ts";
import type { Cx } from "../../context.ts";
import { Header } from "./header.ts";
import { t } from "./text.ts";

export interface Document {
  readonly title: string;
  readonly notices: number;
  readonly main: Html;
  /** Addresses of the site's style and script. */
  readonly style: string;
  readonly script: string;
  /** For the script: see lib/template/browser.ts. */
  readonly live: object;
}

export const layout = (page: Document, cx: Cx): Html => html`
  <!doctype html>
  <html lang=${cx.locale} dir="ltr">
    <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <title>${page.title}</title>
      <link rel="stylesheet" href=${page.style} s-style="site">
      <link rel="icon" href="/-/icon.svg" type="image/svg+xml">
      <script type="module" src=${page.script}></script>
    </head>
    <body>
      <a class="skip" href="#main">${t(cx).skip()}</a>
      ${Header({ user: cx.viewer?.id ?? null, notices: page.notices })}
      <div class="page" id="main">${page.main}</div>
      <footer><p>${t(cx).footer()}</p></footer>
      ${jsonScript("live", page.live)}
    </body>
  </html>`;
