/**
 * What every view may know besides its props: who looks, in which language. The server makes one for each page and the page
 * carries it to the browser, so both render the same. Views of this cage are made with this file's `component`.
 */
import { components } from "#lib/template/html.ts";
import type { Person } from "./model.ts";

export interface Cx {
  readonly locale: string;
  readonly timeZone: string;
  readonly viewer: Person | null;
  /** Names the acts of this page's forms where no script does: an act sent twice is done once. */
  readonly once: string;
}

export const component = components<Cx>();

export const locales = ["en", "sv"] as const;
