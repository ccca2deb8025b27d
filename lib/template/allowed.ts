/**
 * What a hole may do to an attribute, on both sides. Names are judged once, when the template is planned; addresses are
 * judged each time.
 *
 * Refused by name: `on*` (handlers as text; use `on()`), `style` and `srcdoc` (whole languages of their own), the address of
 * `<base>`. Addresses may be relative, http, https, mailto or tel: what else there is (`javascript:`, `data:`) becomes
 * `about:blank#blocked`.
 */
export class TemplateError extends Error {
  readonly code = "TEMPLATE";
}

const urlAttributes = new Set(
  "href src action formaction poster cite data ping background manifest xlink:href srcset imagesrcset".split(" "),
);

export const isUrlAttribute = (name: string): boolean => urlAttributes.has(name.toLowerCase());

export function allowedAttribute(tag: string, name: string, refuse: (why: string) => never): void {
  const lower = name.toLowerCase();
  if (lower.startsWith("on")) refuse(`a hole cannot be the handler "${name}"; use \${on("${lower.slice(2)}", "act")}`);
  if (lower === "style") refuse("a hole cannot write a style; choose a class");
  if (lower === "srcdoc" || lower === "innerhtml" || lower === "outerhtml")
    refuse(`a hole cannot be "${name}": it holds markup`);
  if (tag === "base") refuse("a hole cannot move the base of a page's addresses");
  if (/^(s|k|s-channel)$/.test(lower)) refuse(`the attribute "${name}" is written by the template itself`);
  if (!/^[a-z_][\w:.-]*$/i.test(name)) refuse(`"${name}" is no attribute name`);
}

/** An address in several parts is safe when its fixed beginning already settles the scheme. */
export function allowedPrefix(prefix: string, refuse: (why: string) => never): void {
  if (!/^(https?:\/\/|mailto:|tel:|[/#?.])/i.test(prefix)) {
    refuse(
      "an address made of parts begins with a fixed one (/, #, ?, https://, mailto:); or use one hole for all of it",
    );
  }
}

const scheme = /^([a-z][a-z0-9+.-]*):/i;

export function safeUrl(value: string): string {
  // Most addresses of a site are its own: what begins so has no scheme.
  if (value.startsWith("/") || value.startsWith("#")) return value;
  // Browsers skip controls and spaces when they look for a scheme, so this looks without them.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters skipped
  const found = scheme.exec(value.replace(/[\u0000-\u0020\u007f-\u00a0\u200b-\u200f\u2028\u2029\ufeff]/g, ""));
  return found === null || /^(https?|mailto|tel)$/i.test(found[1] as string) ? value : "about:blank#blocked";
}
