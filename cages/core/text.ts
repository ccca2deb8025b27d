/**
 * What people write, as it is accepted: NFC, trimmed, line ends as \n, no control characters, no halves of characters;
 * lengths counted in code points, so that every script has the same room.
 */
import { z } from "#runtime";

export const title = text("a title", 140, /[\p{Cc}\p{Cs}\u2028\u2029]/u);
/** 10,000 characters are some five pages; a row of that size is still read in microseconds. */
export const body = text("a text", 10_000, /(?![\n\t])[\p{Cc}\p{Cs}]/u);
/** The client's name for one act. */
export const once = z.string().regex(/^[\x21-\x7e]{1,64}$/, "expected 1 to 64 visible ASCII characters");
export const id = z.string().regex(/^[0-7][0-9a-hjkmnp-tv-z]{12}$/, "expected an id");
export const person = z.strictObject({ id, name: z.string().min(1).max(60) });

function text(what: string, max: number, forbidden: RegExp) {
  return (
    z
      .string()
      // Before anything that takes time in proportion: no script needs four units for a character.
      .max(max * 4, `${what} may have up to ${max} characters`)
      .transform((raw) => raw.replace(/\r\n?/g, "\n").normalize("NFC").trim())
      .refine((clean) => clean !== "", `write ${what}`)
      .refine((clean) => clean.length <= max || [...clean].length <= max, `${what} may have up to ${max} characters`)
      .refine((clean) => !forbidden.test(clean), `${what} may not have control characters`)
  );
}
