/** Who asks for a page, and in which language: the context of its views, and the session for Impact. */
import { randomBytes } from "node:crypto";
import { negotiate } from "#lib/i18n/messages.ts";
import { type Ask, request } from "#runtime";
import { impact, refusal } from "./back.ts";
import { type Cx, locales } from "./context.ts";
import { cookiesOf, signedOut, tokenOf } from "./session.ts";

export interface Who {
  readonly cx: Cx;
  /** Impact's token; empty for a visitor. */
  readonly session: string;
  readonly notices: number;
  /** For the answer: a session that is none any more is taken away. */
  readonly cookie: string | undefined;
}

export async function who(ask: Ask): Promise<Who> {
  const cookies = cookiesOf(ask.headers["cookie"]);
  const session = tokenOf(cookies);
  const place = {
    locale: negotiate(cookies["locale"] ?? ask.headers["accept-language"], locales),
    timeZone: zoneOf(cookies["zone"]),
    once: randomBytes(9).toString("base64url"),
  };
  if (session === "") return { cx: { ...place, viewer: null }, session, notices: 0, cookie: undefined };
  try {
    const { person, notices } = await impact.Accounts.viewer(session);
    request.identify(person);
    return { cx: { ...place, viewer: person }, session, notices, cookie: undefined };
  } catch (error) {
    if (refusal(error)?.code !== "UNAUTHORIZED") throw error;
    return { cx: { ...place, viewer: null }, session: "", notices: 0, cookie: signedOut() };
  }
}

/** Nobody, where nobody could be asked: for error pages. */
export const nobody = (ask: Ask): Who => ({
  cx: { locale: negotiate(ask.headers["accept-language"], locales), timeZone: "UTC", viewer: null, once: "" },
  session: "",
  notices: 0,
  cookie: undefined,
});

/** Zones come from browsers: only what Intl knows goes on, and each is asked once. */
const zones = new Map<string, boolean>();

function zoneOf(zone: string | undefined): string {
  if (zone === undefined || zone.length > 50) return "UTC";
  let known = zones.get(zone);
  if (known === undefined) {
    try {
      new Intl.DateTimeFormat("en", { timeZone: zone });
      known = true;
    } catch {
      known = false;
    }
    if (zones.size >= 1_000) zones.clear();
    zones.set(zone, known);
  }
  return known ? zone : "UTC";
}
