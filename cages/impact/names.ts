/**
 * Names of people: 2 to 30 letters, digits, - or _, of any script, kept as they were written. Two names are the same when
 * they differ only in case or in Unicode form.
 */
import { CageError } from "#runtime";

export function acceptName(raw: string): string {
  // Cut before it is looked at: what is longer is refused below all the same.
  const name = raw.slice(0, 200).normalize("NFC").trim();
  if (!/^[\p{L}\p{Nd}][\p{L}\p{M}\p{Nd}_-]*$/u.test(name) || [...name].length < 2 || [...name].length > 30)
    throw refused("name", "a name has 2 to 30 letters, digits, - or _, and begins with a letter or digit");
  return name;
}

/** What makes a name unique. Any text has one; it is cut because nobody's name is longer. */
export const nameKey = (name: string): string =>
  name.slice(0, 200).normalize("NFKC").trim().toLowerCase().normalize("NFKC");

/** Where a name is looked up. */
export const nameHome = (key: string): string => `name:${key}`;

export const refused = (field: string, sentence: string, code = "BAD_INPUT"): CageError =>
  new CageError(code, sentence, { details: { [field]: sentence } });
