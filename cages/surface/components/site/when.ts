/** A moment, for people and for machines. */
import { messages } from "#lib/i18n/messages.ts";
import { type Html, html } from "#lib/template/html.ts";
import type { Cx } from "../../context.ts";

const t = messages({
  en: { when: "{at, date, medium}, {at, time, short}" },
  sv: { when: "{at, date, medium} {at, time, short}" },
});

/** A page shows many moments, and the next page the same ones: their machine forms are kept, so many at most. */
const machine = new Map<number, string>();
const maxKept = 2_000;

function iso(at: number): string {
  let text = machine.get(at);
  if (text === undefined) {
    if (machine.size >= maxKept) machine.clear();
    machine.set(at, (text = new Date(at).toISOString()));
  }
  return text;
}

export const when = (at: number, cx: Cx): Html => html`<time datetime=${iso(at)}>${t(cx).when({ at })}</time>`;
