/** What was loaded when, in all cages; a failed reload opens to its code frame. */
import { html } from "#lib/template/html.ts";
import { panel, reloadList, reloadsOf } from "../parts.ts";
import type { Page } from "./page.ts";

export const reloads: Page = {
  path: "/reloads",
  title: () => "Reloads",
  view: (seen) =>
    html`${panel("Reloads", "of all cages since their start", reloadList(reloadsOf(seen.rows), seen.at))}`,
};
