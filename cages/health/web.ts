/**
 * The dashboard: http://localhost:8090. Each page is made here, from what watch.ts saw, as HTML; the browser asks again
 * each second (`x-part`) and gets only the content. Buttons are forms, so everything works without scripts.
 *
 * It shows stacks and steers cages, so it answers this machine only: whoever comes from elsewhere is refused (a tunnel
 * makes elsewhere here), as is a page of another site that makes this browser ask.
 */
import { type Ask, CageError, reply } from "#runtime";
import { act } from "./act.ts";
import { errors } from "./pages/errors.ts";
import { one } from "./pages/one.ts";
import { overview } from "./pages/overview.ts";
import type { Page } from "./pages/page.ts";
import { reloads } from "./pages/reloads.ts";
import { retries } from "./pages/retries.ts";
import { content, headers, whole } from "./shell.ts";
import { look } from "./watch.ts";

const pages: readonly Page[] = [overview, errors, reloads, retries, one];

export const routes = {
  ...Object.fromEntries(pages.map((page) => [`GET ${page.path}`, (ask: Ask) => show(page, ask)])),

  "POST /do": async (ask: Ask) => {
    guard(ask);
    await act((ask.body ?? {}) as Record<string, string>);
    return reply({ status: 303, headers: { location: back(ask) } });
  },

  /** What the pages are made of, for scripts: curl localhost:8090/seen.json */
  "GET /seen.json": async (ask: Ask) => {
    guard(ask);
    return await look();
  },
};

async function show(page: Page, ask: Ask) {
  guard(ask);
  const seen = await look();
  const part = content(pages, ask.path, await page.view(seen, ask.params));
  return reply({ headers, body: ask.headers["x-part"] === undefined ? whole(page.title(ask.params), part) : part });
}

const local = /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/;
const loopback = /^(::1|(::ffff:)?127(\.\d+){3})$/;

function guard(ask: Ask): void {
  if (!loopback.test(ask.from))
    throw new CageError(
      "FORBIDDEN",
      "the dashboard answers its own machine only; come by a tunnel: ssh -L 8090:localhost:8090 HOST",
    );
  // A name that somebody else's DNS points here (rebinding) would make this browser read it to them.
  const host = ask.headers["host"] ?? "";
  if (!local.test(host)) throw new CageError("FORBIDDEN", "the dashboard is called localhost");
  const origin = ask.headers["origin"];
  if (ask.method === "POST" && origin !== `http://${host}`)
    throw new CageError("FORBIDDEN", "actions come from the dashboard's own pages only");
}

/** The page that the button stood on; never another site. */
function back(ask: Ask): string {
  const from = ask.headers["referer"];
  return from !== undefined && URL.canParse(from) ? new URL(from).pathname : "/";
}
