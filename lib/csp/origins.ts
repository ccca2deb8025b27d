/**
 * Which pages may speak to a comet server: exact origins, an origin on any port (`http://localhost:*`, for
 * development), or `*` for all.
 *
 *     const verdict = judge(request.headers, ["https://example.org"])    // { allowed: true, header: "https://example.org" }
 *
 * A browser names the page's origin on every request across origins; what names none is a program, or a page of this
 * very origin, unless the browser says the request came from elsewhere (a script tag, a link), which is refused.
 * Nothing here rests on cookies: what guards a channel is its token.
 */
export interface Verdict {
  readonly allowed: boolean;
  /** For Access-Control-Allow-Origin; undefined when there is nobody to allow. */
  readonly header: string | undefined;
}

export function judge(
  headers: { readonly origin?: string | undefined; readonly "sec-fetch-site"?: string | string[] | undefined },
  allowed: readonly string[],
): Verdict {
  if (allowed.includes("*")) return { allowed: true, header: "*" };
  const { origin } = headers;
  if (origin === undefined) {
    const site = headers["sec-fetch-site"];
    return { allowed: site === undefined || site === "same-origin" || site === "none", header: undefined };
  }
  const anyPort = origin.replace(/:\d+$/, "");
  const fits = allowed.some((entry) => entry === origin || (entry.endsWith(":*") && entry.slice(0, -2) === anyPort));
  return { allowed: fits, header: fits ? origin : undefined };
}
