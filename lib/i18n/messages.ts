/**
 * The translations of one folder: a JSON file for each locale, a typed function for each key.
 *
 *     import en from "./en.json" with { type: "json" };        // { "likes": "{n, plural, =0 {No likes yet} one {# like} other {# likes}}" }
 *     import sv from "./sv.json" with { type: "json" };
 *     const t = messages({ en, sv });
 *
 *     t(cx).likes({ n: 3 })                                      "3 likes", "3 gillar"
 *     t(cx).terms.rich(html, { link: (text) => html`<a href="/terms">${text}</a>` })         for "I accept <link>the terms</link>"
 *
 * Every folder has names of its own, so two parts of a site cannot collide. A key that the viewer's locale lacks is taken
 * from its parent (sv-FI, sv), then from the first locale given: what is shown is never a key. An unknown key is a type
 * error; a message that cannot be read, or takes what the first locale's does not give, fails when it is loaded.
 */
import { type Arguments, compile, MessageError, type Node, names, type Place, parse, separator } from "./message.ts";

export type { Argument, Arguments } from "./message.ts";
export { MessageError } from "./message.ts";

/** What `t` needs to know of a viewer. Times are shown in `timeZone` (UTC when absent), so that both sides show the same. */
export interface Viewer {
  readonly locale: string;
  readonly timeZone?: string;
}

/** The `html` of a template library, seen from here. */
type Tag<Html> = (strings: TemplateStringsArray, ...values: (string | Html)[]) => Html;

export interface Message {
  (args?: Arguments): string;
  /** With markup: named tags become what `args` makes of their text. */
  rich<Html>(html: Tag<Html>, args: Readonly<Record<string, Arguments[string] | ((text: string) => Html)>>): Html;
}

export type Messages<Key extends string> = (viewer: Viewer) => Readonly<Record<Key, Message>>;

/** Locales and zones come with requests: so many sets of functions are kept, and then they are made anew. */
const maxPlaces = 100;

export function messages<Key extends string>(
  catalogs: Readonly<Record<string, Readonly<Partial<Record<Key, string>>>>>,
): Messages<Key> {
  const locales = Object.keys(catalogs);
  const source = locales[0];
  if (source === undefined) throw new MessageError("messages() takes at least one locale");
  const parsed = new Map<string, Map<string, readonly Node[]>>();
  for (const [locale, catalog] of Object.entries(catalogs)) {
    const own = new Map<string, readonly Node[]>();
    for (const [key, text] of Object.entries(catalog)) {
      try {
        own.set(key, parse(text as string));
      } catch (cause) {
        throw new MessageError(`${locale}: "${key}": ${(cause as Error).message}`, { cause });
      }
    }
    parsed.set(locale, own);
    for (const [key, nodes] of own) {
      const given = parsed.get(source)?.get(key);
      if (given === undefined) continue;
      const known = names(given);
      const strange = [...names(nodes)].find((name) => !known.has(name));
      if (strange !== undefined)
        throw new MessageError(`${locale}: "${key}" takes ${strange}, which ${source} does not have`);
    }
  }

  function made(viewer: Viewer): Readonly<Record<Key, Message>> {
    const own = chain(viewer.locale, source as string).filter((locale) => parsed.has(locale));
    const all = new Map<string, Message>();
    for (const locale of own) {
      const place: Place = { locale, timeZone: viewer.timeZone ?? "UTC" };
      for (const [key, nodes] of parsed.get(locale) ?? []) if (!all.has(key)) all.set(key, message(nodes, place));
    }
    return Object.fromEntries(all) as Record<Key, Message>;
  }

  const byPlace = new Map<string, Readonly<Record<Key, Message>>>();
  // A page asks hundreds of times for one viewer: the last answer is remembered by the object itself.
  let last: Viewer | undefined;
  let lastAll: Readonly<Record<Key, Message>> | undefined;
  return (viewer) => {
    if (viewer === last && lastAll !== undefined) return lastAll;
    const place = viewer.timeZone === undefined ? viewer.locale : `${viewer.locale} ${viewer.timeZone}`;
    let all = byPlace.get(place);
    if (all === undefined) {
      if (byPlace.size >= maxPlaces) byPlace.clear();
      byPlace.set(place, (all = made(viewer)));
    }
    last = viewer;
    lastAll = all;
    return all;
  };
}

/** sv-Latn-FI, sv-Latn, sv, and last the locale that has everything. */
export function chain(locale: string, source: string): string[] {
  const parts = locale.split("-");
  return [...parts.map((_, at) => parts.slice(0, parts.length - at).join("-")), source];
}

const nothing: Arguments = {};

function message(nodes: readonly Node[], place: Place): Message {
  const text = compile(nodes, place);
  const plain = (args: Arguments = nothing): string => text(args);
  const rich = <Html>(html: Tag<Html>, args: Readonly<Record<string, unknown>>): Html => {
    const tags: unknown[] = [];
    const parts = text(args, tags).split(separator);
    // Every second part is the number of a tag.
    return parts
      .map((part, at) => (at % 2 === 0 ? part : (tags[Number(part)] as Html)))
      .filter((part) => part !== "")
      .reduce<Html>((all, part, at) => (at === 0 ? html`${part}` : html`${all}${part}`), html``);
  };
  return Object.assign(plain, { rich });
}

/** The best of what a site has for what a person asks for: `Accept-Language`, or one locale. */
export function negotiate<const Locale extends string>(
  wanted: string | undefined,
  offered: readonly [Locale, ...Locale[]],
): Locale {
  const ranked = (wanted ?? "")
    .slice(0, 500) // a header is data: longer ones say nothing more
    .split(",")
    .map((part, at) => {
      const [tag = "", ...rest] = part.trim().split(";");
      const weight = Number(/q=([\d.]+)/.exec(rest.join(";"))?.[1] ?? 1);
      return { tag: tag.toLowerCase(), weight: Number.isNaN(weight) ? 0 : weight, at };
    })
    .filter((each) => each.tag !== "" && each.weight > 0)
    .sort((a, b) => b.weight - a.weight || a.at - b.at);
  for (const { tag } of ranked) {
    const found = chain(tag, "").map((each) => offered.find((locale) => locale.toLowerCase() === each));
    const best = found.find((locale) => locale !== undefined);
    if (best !== undefined) return best;
  }
  return offered[0];
}
