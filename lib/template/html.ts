/**
 * Templates on the server: `html` runs at once and is finished markup, so a page is one long concatenation.
 *
 *     render(cx, () => html`<h1>${thread.title}</h1><ol s-list="posts">${each(thread.posts, (p) => p.id, Post)}</ol>`)
 *
 * The browser has the same functions (browser/html.ts takes this file's place in its bundles) and walks what this one wrote:
 * a text hole that has neighbours stands between `<!>` and `<!/>` (two empty comments to a parser), an item of a keyed list
 * carries `k` (unless it is a component's root with that key), the root of a component `s="NAME:KEY"` and, if it listens, `s-channel`.
 *
 * Text and attributes are escaped by place; holes that no escaping makes safe are refused (plan.ts). `raw()` is the one way
 * around, and findable.
 */
import { safeUrl, TemplateError } from "./allowed.ts";
import { type Component, componentName, type Definition, type Html, type Value } from "./contract.ts";
import { type Plan, plan } from "./plan.ts";

export type { Component, Definition, Frame, Html, Live, LiveList, Value } from "./contract.ts";

/** Finished markup. What has one root keeps `<tag` apart, so that a list or component can still mark it. */
class Markup {
  readonly tag: string;
  readonly rest: string;
  /** Of a component's root. */
  readonly key: string | undefined;
  constructor(tag: string, rest: string, key?: string) {
    this.tag = tag;
    this.rest = rest;
    this.key = key;
  }
  toString(): string {
    return this.tag + this.rest;
  }
}

class On {
  readonly attribute: string;
  constructor(attribute: string) {
    this.attribute = attribute;
  }
}

const special = /[&<>"'\r\0]/;
const specials = /[&<>"'\r\0]/g;
/** By character code. A parser would make a line feed of a bare carriage return. */
const entities: string[] = [];
for (const [char, entity] of ["&&amp;", "<&lt;", ">&gt;", '"&quot;', "'&#39;", "\r&#13;", "\0\ufffd"].map(
  (row) => [row[0] as string, row.slice(1)] as const,
)) {
  entities[char.charCodeAt(0)] = entity;
}

/** Most texts have nothing to escape and are handed back as they are. */
export const escapeHtml = (text: string): string => (special.test(text) ? escaped(text) : text);

/** `replace` gives one flat string; pieces joined here would have to be flattened with the page. */
const escaped = (text: string): string => text.replace(specials, (char) => entities[char.charCodeAt(0)] as string);

// What to do with each value, as numbers: the loop below is the hot path of every page.
const TEXT = 0;
const ATTR = 1;
const URL_ATTR = 2;
const PART = 3;
const BOOL = 4;
const PROP = 5;
const ON = 6;

/**
 * Fixed markup before each value, and after the last. An attribute may be left out, so what stands before a value depends on
 * two things: whether this one is written (then its ` name="` is part of it), and whether the one before was (then its
 * closing quote is). All four are made once: joining strings is what a page costs.
 */
interface Pieces {
  readonly bare: readonly string[];
  readonly open: readonly string[];
}

interface Steps {
  /** `<tag` of the one root, or empty. */
  readonly tag: string;
  readonly kinds: readonly number[];
  readonly plain: Pieces;
  /** After a value whose quote is still open. */
  readonly quoted: Pieces;
}

function stepsOf(made: Plan): Steps {
  const pieces: string[] = [];
  const kinds: number[] = [];
  const names: string[] = [];
  let out = "";
  const step = (kind: number, name = ""): void => {
    pieces.push(out);
    kinds.push(kind);
    names.push(name);
    out = "";
  };
  const parts = (statics: readonly string[]): void => {
    out += statics[0];
    for (const after of statics.slice(1)) {
      step(PART);
      out += after;
    }
  };
  for (const token of made.tokens) {
    if (typeof token === "string") out += token;
    else if (token.kind === "text") {
      if (!token.only) out += "<!>";
      step(TEXT);
      if (!token.only) out += "<!/>";
    } else if (token.kind === "content") parts(token.statics);
    else if (token.kind === "attr") {
      if (token.statics.length === 2 && token.statics.join("") === "")
        step(token.url ? URL_ATTR : ATTR, ` ${token.name}="`);
      else {
        out += ` ${token.name}=${token.quote}`;
        parts(token.statics);
        out += token.quote;
      }
    } else if (token.kind === "on") step(ON);
    else step(token.kind === "bool" ? BOOL : PROP, ` ${token.name}=""`);
  }
  pieces.push(out);
  const tag = made.root === undefined ? "" : `<${made.root}`;
  pieces[0] = (pieces[0] as string).slice(tag.length);
  const after = (before: string): Pieces => ({
    bare: pieces.map((piece) => before + piece),
    open: pieces.map((piece, at) => before + piece + (names[at] ?? "")),
  });
  return { tag, kinds, plain: after(""), quoted: after('"') };
}

const planned = new WeakMap<TemplateStringsArray, Steps>();

export function html(strings: TemplateStringsArray, ...values: readonly (Value | On)[]): Html {
  let steps = planned.get(strings);
  if (steps === undefined) planned.set(strings, (steps = stepsOf(plan(strings))));
  const { kinds, plain, quoted } = steps;
  let out = "";
  let pieces = plain;
  for (let i = 0; i < kinds.length; i++) {
    const value: unknown = values[i];
    switch (kinds[i]) {
      case TEXT:
        out += pieces.bare[i];
        pieces = plain;
        if (typeof value === "string") out += escapeHtml(value);
        else if (value instanceof Markup) out += value.tag + value.rest;
        else out += plainText(value);
        break;
      case PART:
        out += pieces.bare[i];
        pieces = plain;
        out += typeof value === "string" ? escapeHtml(value) : plainText(value);
        break;
      case ATTR:
      case URL_ATTR:
        if (value === null || value === undefined || value === false) {
          out += pieces.bare[i];
          pieces = plain;
          break;
        }
        out += pieces.open[i];
        pieces = quoted;
        if (typeof value !== "string") out += plainText(value);
        else out += escapeHtml(kinds[i] === URL_ATTR ? safeUrl(value) : value);
        break;
      case BOOL:
        out += value ? pieces.open[i] : pieces.bare[i];
        pieces = plain;
        break;
      case ON:
        out += pieces.bare[i];
        pieces = plain;
        if (value instanceof On) out += value.attribute;
        else if (value) throw new TemplateError("a hole that is a whole attribute takes on(...) or nothing");
        break;
      default: // PROP: of the live element only
        out += pieces.bare[i];
        pieces = plain;
    }
  }
  return made(new Markup(steps.tag, out + (pieces.bare[kinds.length] as string)));
}

const made = (markup: Markup): Html => markup as unknown as Html;

function plainText(value: unknown): string {
  if (value === null || value === undefined || typeof value === "boolean") return "";
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  if (typeof value === "string") return escapeHtml(value);
  if (Array.isArray(value)) throw new TemplateError("a hole holds no array; use each(list, key, view)");
  if (value instanceof Markup) throw new TemplateError("markup stands in text, not in an attribute or title");
  throw new TemplateError(
    `a hole holds text, a number or html, and got ${typeof value}: ${String(value).slice(0, 40)}`,
  );
}

/** Markup that the author vouches for. Never made of what people wrote. */
export const raw = (trusted: string): Html => made(new Markup("", trusted));

/**
 * A small view of one text or number that pages show again and again (a face, a moment): rendered once for each, the last
 * `most` of them kept. Nothing else may go into it, not even the context.
 */
export function kept<K extends string | number>(most: number, view: (key: K) => Html): (key: K) => Html {
  const all = new Map<K, Html>();
  return (key) => {
    let html = all.get(key);
    if (html === undefined) {
      if (all.size >= most) all.clear();
      html = view(key);
      // A search makes one flat string of what was joined, once instead of with each page.
      special.test((html as unknown as Markup).rest);
      all.set(key, html);
    }
    return html;
  };
}

/** A list. Every item has one root element; with `key`, items keep their elements when the list changes. */
export function each<T>(
  list: Iterable<T>,
  key: ((item: T) => string) | null,
  view: (item: T, at: number) => Html,
): Html {
  let out = "";
  let at = 0;
  // Items of a list mostly are of one template: what is fixed about them is joined once.
  let tag = "";
  let open = "";
  for (const item of list) {
    const markup = view(item, at++) as unknown as Markup;
    if (markup.tag !== tag || tag === "") {
      if (markup.tag === "") throw new TemplateError("an item of each() has one root element");
      tag = markup.tag;
      open = `${tag} k="`;
    }
    const own = key === null ? markup.key : key(item);
    // The root of a component says its key already.
    if (own === markup.key) out += tag + markup.rest;
    else out += `${open}${escapeHtml(own as string)}"${markup.rest}`;
  }
  return made(new Markup("", out));
}

/** `${on("click", "save")}` as an attribute: the component's `act.save` in the browser. */
export const on = (event: string, act: string): On => new On(` s-${escapeHtml(event)}="${escapeHtml(act)}"`);

let current: unknown;

/** Runs `view` with `cx` as the context of every component in it. Views are synchronous, so one variable is enough. */
export function render<Cx>(cx: Cx, view: () => Html): string {
  const outer = current;
  current = cx;
  try {
    return String(view());
  } finally {
    current = outer;
  }
}

export function component<P, E = Record<never, never>, Cx = unknown>(
  id: string,
  definition: Definition<P, E, Cx>,
): Component<P> {
  if (!componentName.test(id)) throw new TemplateError(`"${id}" is no component name; write folder/name`);
  const opens = ` s="${id}:`;
  const show = (props: P): Html => {
    const body = definition.view(props, current as Cx) as unknown as Markup;
    if (body.tag === "") throw new TemplateError(`the view of ${id} has one root element`);
    if (body.key !== undefined)
      throw new TemplateError(`the root of ${id} is another component; give it an element of its own`);
    const channel = definition.channel?.(props);
    const closes = channel ? `" s-channel="${escapeHtml(channel)}"` : '"';
    const key = definition.key(props);
    return made(new Markup(body.tag, opens + escapeHtml(key) + closes + body.rest, key));
  };
  return Object.assign(show, { id, keyOf: (props: P) => definition.key(props) });
}

/** `component` for an application whose views all get the same context. */
export const components =
  <Cx>() =>
  <P, E = Record<never, never>>(id: string, definition: Definition<P, E, Cx>): Component<P> =>
    component<P, E, Cx>(id, definition);

/** Data in a page: a script element that no browser runs. */
export function jsonScript(id: string, data: unknown): Html {
  const unsafe: Readonly<Record<string, string>> = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
  };
  const json = JSON.stringify(data).replace(/[<>&\u2028\u2029]/g, (char) => unsafe[char] as string);
  return raw(`<script type="application/json" id="${escapeHtml(id)}">${json}</script>`);
}
