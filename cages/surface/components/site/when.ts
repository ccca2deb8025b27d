/** A moment, for people and for machines. */
import { messages } from "#lib/i18n/messages.ts";
import { type Html, html, kept } from "#lib/template/html.ts";
import type { Cx } from "../../context.ts";

const t = messages({
  en: { when: "{at, date, medium}, {at, time, short}" },
  sv: { when: "{at, date, medium} {at, time, short}" },
});

/** A page shows many moments, and the next page mostly the same: so many are kept for each of so many places. */
const maxMoments = 2_000;
const maxPlaces = 100;
const places = new Map<string, (at: number) => Html>();

export function when(at: number, { locale, timeZone }: Cx): Html {
  const place = `${locale} ${timeZone}`;
  let moment = places.get(place);
  if (moment === undefined) {
    if (places.size >= maxPlaces) places.clear();
    const say = t({ locale, timeZone });
    moment = kept(maxMoments, (at) => html`<time datetime=${new Date(at).toISOString()}>${say.when({ at })}</time>`);
    places.set(place, moment);
  }
  return moment(at);
}
