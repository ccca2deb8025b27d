/**
 * The site's script and stylesheet: bundled when a generation that changed them starts, kept on disk by content, served from
 * memory under names that carry their hash. Open pages are told of new ones and take them in place.
 *
 * This module imports what the bundle consists of, so that a save of any of it makes a new version of this module too. A
 * bundle that cannot be made refuses the reload: the old pages go on with the old script.
 */
import { join } from "node:path";
import { keptBundle } from "#lib/assets/kept.ts";
import { createStore } from "#lib/assets/store.ts";
import { type Ask, CageError, hooks, keep, reply } from "#runtime";
import { tell } from "./channels.ts";
import "./client/client.ts";
import "./components/parts.ts";
import "./components/styles.ts";

const root = join(import.meta.dirname, "../..");
const store = keep("surface.assets", () => createStore());

interface Names {
  /** What every page loads. */
  readonly live: string;
  /** The components alone: what an open page loads when they changed. */
  readonly parts: string;
  readonly site: string;
}

export let names: Names = { live: "", parts: "", site: "" };
let before: Names | undefined;

export const life = hooks<{ readonly names: Names }>({
  handover(old) {
    before = old.names;
  },
  async start() {
    const state = process.env["CAGE_STATE"] ?? join(root, "state");
    const { files } = await keptBundle(
      {
        root,
        entries: {
          live: "cages/surface/client/client.ts",
          parts: "cages/surface/components/parts.ts",
          site: "cages/surface/components/site.css",
        },
        outdir: "assets",
        platform: "browser",
        alias: { "#lib/template/html.ts": join(root, "lib/template/browser/html.ts") },
        splitting: true,
        minify: true,
        hashed: true,
      },
      join(state, "assets", "surface.json"),
    );
    const addresses: Record<string, string> = {};
    for (const file of files) {
      const name = store.put(file.name, file.text, { hashed: true });
      if (file.entry !== undefined) addresses[file.entry] = `/-/a/${name}`;
    }
    names = addresses as unknown as Names;
    const changed: Record<string, string> = {};
    if (before !== undefined && before.parts !== names.parts) changed["*"] = names.parts;
    if (before !== undefined && before.site !== names.site) changed["site"] = names.site;
    // A site without Orbit is still a site; open pages then learn of it when they are opened again.
    if (Object.keys(changed).length > 0) await tell([{ u: changed }]).catch(() => {});
  },
});

export async function asset(ask: Ask): Promise<unknown> {
  const found = await store.get(ask.params["file"] ?? "", ask.headers["accept-encoding"], ask.headers["if-none-match"]);
  if (found === undefined) {
    // Never a page in place of a script, and never remembered: the next moment may have it.
    return reply({
      status: 404,
      headers: { "cache-control": "no-store", "content-type": "text/plain; charset=utf-8" },
      body: "no such file",
    });
  }
  return reply({ status: found.status, headers: found.headers, ...(found.status === 304 ? {} : { body: found.body }) });
}

const icon =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="10" fill="#4338ca"/><path d="M2 21c7 4 22 1 28-9" fill="none" stroke="#a5a0ff" stroke-width="3" stroke-linecap="round"/></svg>';

export const favicon = (): unknown =>
  reply({ headers: { "content-type": "image/svg+xml", "cache-control": "public, max-age=86400" }, body: icon });

export function addresses(): Names {
  if (names.live === "") throw new CageError("UNAVAILABLE", "the site's script is not made yet; try again in a moment");
  return names;
}
