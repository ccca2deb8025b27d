/** A person's mark: the first letter of their name on a colour that is always theirs. */
import { type Html, html, kept } from "#lib/template/html.ts";
import type { Person } from "../../model.ts";

const hues = 8;
const maxFaces = 2_000;

const faceOf = kept(maxFaces, (name: string) => {
  let sum = 0;
  for (const char of name) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 9_973;
  const [first = "?"] = [...name];
  return html`<span class="face hue-${sum % hues}" aria-hidden="true">${first.toUpperCase()}</span>`;
});

export const face = (person: Person): Html => faceOf(person.name);
