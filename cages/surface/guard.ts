/**
 * What protects every answer of this site: who may send it a form, and what a browser may do with its pages.
 */
import { type Ask, CageError } from "#runtime";

/**
 * Refuses what another site's page made a browser send, whatever its content type. Browsers say where a request comes
 * from; one that says nothing is no browser with a session to abuse, unless it is too old to be let in.
 */
export function sameSite(ask: Ask): void {
  const site = ask.headers["sec-fetch-site"];
  if (site === "same-origin") return;
  const origin = ask.headers["origin"];
  if (site === undefined && origin !== undefined && hostOf(origin) === ask.headers["host"]) return;
  throw new CageError("FORBIDDEN", "this form was sent from another site; open the page here and send it again");
}

function hostOf(origin: string): string | undefined {
  try {
    return new URL(origin).host;
  } catch {
    return undefined;
  }
}

/** By `connect`: there are as many as Orbit has addresses. */
const made = new Map<string, Readonly<Record<string, string>>>();
const maxMade = 100;

/** Headers of every page. `connect`: where else its script may talk to. */
export function pageHeaders(connect: string | undefined): Readonly<Record<string, string>> {
  let headers = made.get(connect ?? "");
  if (headers === undefined) {
    if (made.size >= maxMade) made.clear();
    made.set(connect ?? "", (headers = headersFor(connect)));
  }
  return headers;
}

function headersFor(connect: string | undefined): Readonly<Record<string, string>> {
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    `connect-src 'self'${connect === undefined ? "" : ` ${new URL(connect).origin}`}`,
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types cage-template",
  ];
  return {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": policy.join("; "),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    // A page knows who looks at it: no cache between may keep it.
    "cache-control": "private, no-store",
  };
}
