/** The script of every page: the live client over Orbit. Loading it where there is no page (the server watches it) does nothing. */
import { connect } from "#lib/orbit.ts";
import { type Feed, live } from "#lib/template/browser.ts";
import * as parts from "../components/parts.ts";

/** What the page says beside what lib/template/browser.ts reads of it. */
interface Place {
  /** Where Orbit is, when it could be reached. */
  readonly orbit?: string;
}

function start(): void {
  const block = JSON.parse(document.getElementById("live")?.textContent ?? "{}") as Place;
  const page = document.documentElement;
  let feed: Feed | undefined;
  if (block.orbit !== undefined) {
    const orbit = connect({ url: block.orbit });
    feed = orbit;
    page.setAttribute("s-live", orbit.state);
    orbit.onState((state) => page.setAttribute("s-live", state));
  } else page.setAttribute("s-live", "off");
  // The next page is made with the times of this place.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  // biome-ignore lint/suspicious/noDocumentCookie: cookieStore is not in every browser that this serves
  document.cookie = `zone=${encodeURIComponent(zone)}; Path=/; Max-Age=31536000; SameSite=Lax`;
  // On one's own machine there is nobody to stampede with, and an edit should show at once.
  const spreadMs = /^(localhost|127\.0\.0\.1|\[::1\])$/.test(location.hostname) ? 20 : 2_000;
  live({ components: Object.values(parts), spreadMs, ...(feed === undefined ? {} : { feed }) });
}

if (typeof document !== "undefined") start();
