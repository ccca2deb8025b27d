/** The last errors of all cages, newest first, with their stacks. */
import { html } from "#lib/template/html.ts";
import { errorList, errorsOf, panel } from "../parts.ts";
import type { Page } from "./page.ts";

export const errors: Page = {
  path: "/errors",
  title: () => "Errors",
  view: (seen) =>
    html`${panel("Errors", "of all cages since their start, each kind once", errorList(errorsOf(seen.rows), seen.at))}`,
};
