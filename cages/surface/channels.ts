/**
 * Where a page's live changes come from: a position and a token for each channel, asked of Orbit before the model is read,
 * so that nothing falls between the two. Without Orbit a page is the same page, only still.
 */

import type { Channels } from "#lib/template/browser.ts";
import { cage, config, log } from "#runtime";
import type * as Orbit from "../orbit/api.ts";

/** A page waits this long for its positions; a person would notice more. */
const patienceMs = 150;

const orbit = cage<typeof Orbit>("orbit", { timeoutMs: patienceMs });

export async function grant(channels: readonly string[], user: string | null): Promise<Channels | undefined> {
  try {
    return await orbit.channels.grant({ channels: [...channels], user });
  } catch (error) {
    log.warn(`a page without live changes: orbit did not answer (${(error as Error).message})`);
    return undefined;
  }
}

/** Tells every open page. */
export async function tell(frames: readonly unknown[]): Promise<void> {
  await orbit.channels.publish([{ channel: "surface", type: "surface", data: frames }]);
}

/** Orbit as a browser on the page `from` reaches it: a port beside this one, unless the configuration has an address. */
export function orbitFor(from: URL): string {
  const at = config<{ readonly orbit: { readonly url?: string; readonly port: number } }>().orbit;
  return at.url ?? `${from.protocol}//${from.hostname}:${at.port}/csp`;
}
