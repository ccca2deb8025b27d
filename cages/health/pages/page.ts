/**
 * A page of the dashboard: where it is, what it is called, and what it shows of what was seen. A new page is one file
 * like overview.ts and its line in web.ts.
 */
import type { Html } from "#lib/template/html.ts";
import type { Seen } from "../watch.ts";

export interface Page {
  readonly path: `/${string}`;
  title(params: Readonly<Record<string, string>>): string;
  view(seen: Seen, params: Readonly<Record<string, string>>): Html | Promise<Html>;
}
