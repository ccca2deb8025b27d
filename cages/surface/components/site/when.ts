/** A moment, for people and for machines. */
import { messages } from "#lib/i18n/messages.ts";
import { type Html, html } from "#lib/template/html.ts";
import type { Cx } from "../../context.ts";

const t = messages({
  en: { when: "{at, date, medium}, {at, time, short}" },
  sv: { when: "{at, date, medium} {at, time, short}" },
});

export const when = (at: number, cx: Cx): Html =>
  html`<time datetime=${new Date(at).toISOString()}>${t(cx).when({ at })}</time>`;
