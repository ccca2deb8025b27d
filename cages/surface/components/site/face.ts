/** A person's mark: the first letter of their name on a colour that is always theirs. */
import { type Html, html } from "#lib/template/html.ts";
import type { Person } from "../../model.ts";

const hues = 8;

export function face(person: Person): Html {
  let sum = 0;
  for (const char of person.name) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 9_973;
  const [first = "?"] = [...person.name];
  return html`<span class="face hue-${sum % hues}" aria-hidden="true">${first.toUpperCase()}</span>`;
}
