/**
 * One message of ICU MessageFormat (the subset that translators' tools agree on) as a function.
 *
 *     text {name}  {n, number}  {n, number, percent}  {at, date, long}  {at, time, short}
 *     {n, plural, offset:1 =0 {none} one {# post} other {# posts}}  {n, selectordinal, ...}  {who, select, me {..} other {..}}
 *     <b>bold {name}</b>         a named tag: what it becomes is the caller's; as plain text, only its content
 *     '{' ''                     an apostrophe quotes what would be syntax, two are one
 *
 * Compiled when loaded, to closures over cached Intl objects, whose results for common numbers are kept too: formatting costs
 * more than all the rest of a page otherwise. No eval. A mistake is a MessageError that shows where.
 */
export class MessageError extends Error {
  readonly code = "MESSAGE";
}

export type Argument = string | number | bigint | boolean | Date | null | undefined;
export type Arguments = Readonly<Record<string, Argument>>;

export interface Place {
  readonly locale: string;
  readonly timeZone: string;
}

export type Node =
  | string
  | { readonly kind: "argument" | "hash"; readonly name: string; readonly offset: number }
  | { readonly kind: "number" | "date" | "time"; readonly name: string; readonly style: string }
  | {
      readonly kind: "plural" | "selectordinal" | "select";
      readonly name: string;
      readonly offset: number;
      readonly cases: ReadonlyMap<string, readonly Node[]>;
    }
  | { readonly kind: "tag"; readonly name: string; readonly inner: readonly Node[] };

const numberStyles: Readonly<Record<string, Intl.NumberFormatOptions>> = {
  "": {},
  integer: { maximumFractionDigits: 0 },
  percent: { style: "percent" },
  compact: { notation: "compact" },
};
const dateStyles = new Set(["", "short", "medium", "long", "full"]);

export function parse(source: string): readonly Node[] {
  let at = 0;
  const fail = (why: string): never => {
    throw new MessageError(`${why} at ${at + 1}: ${source.slice(0, at)}▸${source.slice(at)}`);
  };
  const space = (): void => {
    while (/\s/.test(source[at] ?? "")) at++;
  };
  const word = (what: string): string => {
    space();
    const found = /^[^\s{}<>,#'=:]+/.exec(source.slice(at))?.[0] ?? fail(`expected ${what}`);
    at += found.length;
    space();
    return found;
  };
  const expect = (char: string): void => {
    if (source[at] !== char) fail(`expected "${char}"`);
    at++;
  };

  function nodes(
    counting: { name: string; offset: number } | undefined,
    tag: string | undefined,
    depth: number,
  ): Node[] {
    // A translator's file is data: nesting without end would be a stack without end.
    if (depth > 10) fail("a message nests at most ten deep");
    const all: Node[] = [];
    let text = "";
    const add = (node: Node): void => {
      if (text !== "") all.push(text);
      text = "";
      all.push(node);
    };
    for (;;) {
      const char = source[at];
      if (char === undefined || char === "}") {
        if (tag !== undefined) fail(`<${tag}> is not closed`);
        if ((char === undefined) !== (depth === 0)) fail(depth === 0 ? "a } without its {" : "a { without its }");
        break;
      }
      const open = /^<([a-zA-Z][\w-]*)>/.exec(source.slice(at));
      if (char === "'") {
        at++;
        if (source[at] === "'") {
          text += "'";
          at++;
        } else if (/[{}<>#]/.test(source[at] ?? "")) {
          const end = source.indexOf("'", at);
          if (end < 0) fail("an apostrophe opens a quotation that is not closed");
          text += source.slice(at, end);
          at = end + 1;
        } else text += "'";
      } else if (char === "{") {
        at++;
        add(argument(depth));
      } else if (char === "#" && counting !== undefined) {
        at++;
        add({ kind: "hash", ...counting });
      } else if (open !== null) {
        at += open[0].length;
        const name = open[1] as string;
        add({ kind: "tag", name, inner: inTag(name, counting, depth) });
      } else if (tag !== undefined && source.startsWith(`</${tag}>`, at)) {
        break;
      } else if (source.startsWith("</", at)) fail("a tag is closed that is not open");
      else {
        text += char;
        at++;
      }
    }
    if (text !== "") all.push(text);
    return all;
  }

  function inTag(name: string, counting: { name: string; offset: number } | undefined, depth: number): Node[] {
    const inner = nodes(counting, name, depth + 1);
    at += name.length + 3;
    return inner;
  }

  function argument(depth: number): Node {
    const name = word("a name");
    if (source[at] === "}") {
      at++;
      return { kind: "argument", name, offset: 0 };
    }
    expect(",");
    const kind = word("a type");
    if (kind === "number" || kind === "date" || kind === "time") {
      let style = "";
      if (source[at] === ",") {
        at++;
        style = word("a style");
      }
      expect("}");
      if (kind === "number" ? !(style in numberStyles) : !dateStyles.has(style))
        fail(`no style "${style}" for ${kind}`);
      return { kind, name, style };
    }
    if (kind !== "plural" && kind !== "selectordinal" && kind !== "select") return fail(`no type "${kind}"`);
    expect(",");
    space();
    let offset = 0;
    const given = kind === "select" ? null : /^offset:\s*(\d+)/.exec(source.slice(at));
    if (given !== null) {
      at += given[0].length;
      offset = Number(given[1]);
    }
    const cases = new Map<string, readonly Node[]>();
    for (space(); source[at] !== "}"; space()) {
      const exact = kind !== "select" && source[at] === "=";
      if (exact) at++;
      const selector = (exact ? "=" : "") + word("a case");
      if (kind !== "select" && !/^(=\d+|zero|one|two|few|many|other)$/.test(selector))
        fail(`no plural case "${selector}"`);
      if (cases.has(selector)) fail(`a second case "${selector}"`);
      expect("{");
      cases.set(selector, nodes(kind === "select" ? undefined : { name, offset }, undefined, depth + 1));
      expect("}");
    }
    at++;
    if (!cases.has("other")) fail(`{${name}, ${kind}} has no case "other"`);
    return { kind, name, offset, cases };
  }

  return nodes(undefined, undefined, 0);
}

/** The names that a message takes: its arguments, and its tags as `<name>`. */
export function names(nodes: readonly Node[]): Set<string> {
  const all = new Set<string>();
  for (const node of nodes) {
    if (typeof node === "string") continue;
    all.add(node.kind === "tag" ? `<${node.name}>` : node.name);
    const within = node.kind === "tag" ? [node.inner] : "cases" in node ? node.cases.values() : [];
    for (const inner of within) for (const name of names(inner)) all.add(name);
  }
  return all;
}

// --- formatting -----------------------------------------------------------------------------------------------------------

/** Results kept for each formatter: enough for the counts of a busy page, small enough to forget about. */
const maxKept = 500;
const makers = new Map<string, (value: never) => string>();

function kept<T>(key: string, make: () => (value: T) => string): (value: T) => string {
  let format = makers.get(key) as ((value: T) => string) | undefined;
  if (format === undefined) {
    const fresh = make();
    const results = new Map<T, string>();
    format = (value) => {
      let result = results.get(value);
      if (result === undefined) {
        if (results.size >= maxKept) results.clear();
        results.set(value, (result = fresh(value)));
      }
      return result;
    };
    makers.set(key, format as (value: never) => string);
  }
  return format;
}

function numberFormat({ locale }: Place, style: string): (value: number | bigint) => string {
  return kept(`n ${locale} ${style}`, () => {
    const format = new Intl.NumberFormat(locale, numberStyles[style]);
    return (value) => level(format.format(value));
  });
}

/**
 * Versions of Intl differ in which space they put into times and numbers, and a page is rendered by two of them: it is the
 * plain no-break space. Joined from characters, so that its memory has one byte for each (see `separator`).
 */
const level = (text: string): string =>
  text.includes("\u202f") ? [...text].map((char) => (char === "\u202f" ? "\u00a0" : char)).join("") : text;

function dateFormat({ locale, timeZone }: Place, kind: "date" | "time", style: string): (value: number) => string {
  return kept(`${kind} ${locale} ${timeZone} ${style}`, () => {
    const length = (style || "medium") as "short" | "medium" | "long" | "full";
    const format = new Intl.DateTimeFormat(locale, {
      timeZone,
      ...(kind === "date" ? { dateStyle: length } : { timeStyle: length }),
    });
    return (value) => level(format.format(value));
  });
}

function pluralRule({ locale }: Place, type: "cardinal" | "ordinal"): (value: number) => string {
  return kept(`p ${locale} ${type}`, () => {
    const rules = new Intl.PluralRules(locale, { type });
    return (value) => rules.select(value);
  });
}

/**
 * A message as a function to text. With `tags`, what a named tag becomes is put there, and in the text stands its number
 * between two of a control character (`separator`) that no page may hold, and that is taken out of arguments. It is one of
 * Latin 1, as a string that once held another stays of two bytes a character, and makes every page so that it is put into.
 */
export type Text = (args: Readonly<Record<string, unknown>>, tags?: unknown[]) => string;

export const separator = "\u0001";

export function compile(nodes: readonly Node[], place: Place): Text {
  const all = nodes.map((node) => text(node, place));
  const [first, second, third] = all;
  if (first === undefined) return () => "";
  if (second === undefined) return first;
  if (third === undefined) return (args, tags) => first(args, tags) + second(args, tags);
  return (args, tags) => {
    let out = "";
    for (const each of all) out += each(args, tags);
    return out;
  };
}

function text(node: Node, place: Place): Text {
  if (typeof node === "string") return () => node;
  const { kind, name } = node;
  const absent = `{${name}}`;
  switch (kind) {
    case "argument": {
      const number = numberFormat(place, "");
      const date = dateFormat(place, "date", "");
      return (args, tags) => {
        const value = args[name];
        if (typeof value === "string") return tags === undefined ? value : value.replaceAll(separator, "");
        if (typeof value === "number" || typeof value === "bigint") return number(value);
        if (value instanceof Date) return date(value.getTime());
        return value === null || value === undefined ? absent : String(value);
      };
    }
    case "hash": {
      const number = numberFormat(place, "");
      return (args) => number(Number(args[name]) - node.offset);
    }
    case "number": {
      const number = numberFormat(place, node.style);
      return (args) => (args[name] === undefined ? absent : number(args[name] as number));
    }
    case "date":
    case "time": {
      const format = dateFormat(place, kind, node.style);
      return (args) => {
        const time = Number(args[name]);
        return Number.isNaN(time) ? absent : format(time);
      };
    }
    case "tag": {
      const inner = compile(node.inner, place);
      return (args, tags) => {
        const make = args[name];
        if (tags === undefined || typeof make !== "function") return inner(args, tags);
        // A tag in a tag: only its text can go on.
        tags.push((make as (text: string) => unknown)(inner(args)));
        return `${separator}${tags.length - 1}${separator}`;
      };
    }
    case "select": {
      const cases = new Map([...node.cases].map(([selector, within]) => [selector, compile(within, place)]));
      const other = cases.get("other") as Text;
      return (args, tags) => (cases.get(String(args[name])) ?? other)(args, tags);
    }
    case "plural":
    case "selectordinal": {
      const cases = new Map<string, Text>();
      const exact = new Map<number, Text>();
      for (const [selector, within] of node.cases) {
        if (selector.startsWith("=")) exact.set(Number(selector.slice(1)), compile(within, place));
        else cases.set(selector, compile(within, place));
      }
      const other = cases.get("other") as Text;
      const rule = pluralRule(place, kind === "plural" ? "cardinal" : "ordinal");
      return (args, tags) => {
        const value = Number(args[name]);
        return (exact.get(value) ?? cases.get(rule(value - node.offset)) ?? other)(args, tags);
      };
    }
    default:
      return kind satisfies never;
  }
}
