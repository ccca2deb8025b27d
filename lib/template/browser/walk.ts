/**
 * A template's strings as nodes, and the finding of its holes: in a fresh clone, or in nodes that a server rendered.
 *
 * Both are one walk: template and live nodes in step, skipping what fills the holes (`<!>` ... `<!/>`, counted, as fillings
 * have marks of their own). Over live nodes everything fixed is compared, text and attributes too, because another template
 * of the same shape may have made them; what fills a hole is never compared. Any surprise ends the walk with undefined, and
 * the caller replaces the nodes.
 */
import { TemplateError } from "../allowed.ts";
import { plan, type Spot } from "../plan.ts";

/** Where a hole is: an element (its attribute, or all its content), or the comment before its content and the one after. */
export interface Place {
  readonly spot: Spot;
  readonly node: Element | Comment;
  readonly end: Comment | null;
}

export interface Source {
  readonly content: Node;
  readonly spots: readonly Spot[];
  /** The spots of each element and start mark of `content`. */
  readonly at: ReadonlyMap<Node, readonly number[]>;
  readonly root: boolean;
}

// The strict policy of a page may demand that markup comes from a named policy: this is the only one, for templates only.
interface Policy {
  createHTML(text: string): string;
}
let policy: Policy | undefined;
function trusted(text: string): string {
  const types = (globalThis as { trustedTypes?: { createPolicy(name: string, rules: Policy): Policy } }).trustedTypes;
  if (types === undefined) return text;
  policy ??= types.createPolicy("cage-template", { createHTML: (own) => own });
  return policy.createHTML(text);
}

export function parse(markup: string, svg: boolean): Node {
  const element = document.createElement("template");
  element.innerHTML = trusted(svg ? `<svg>${markup}</svg>` : markup);
  return svg ? (element.content.firstChild as Node) : element.content;
}

/** Fixed parts of attributes are set as values, so their entities are read first. */
function decoded(text: string): string {
  if (!text.includes("&")) return text;
  const area = document.createElement("textarea");
  area.innerHTML = trusted(text.replaceAll("<", "&lt;"));
  return area.value;
}

const cache = new WeakMap<readonly string[], { html?: Source; svg?: Source }>();

export function sourceOf(strings: readonly string[], svg: boolean): Source {
  let both = cache.get(strings);
  if (both === undefined) cache.set(strings, (both = {}));
  return (both[svg ? "svg" : "html"] ??= sourceFrom(strings, svg));
}

function sourceFrom(strings: readonly string[], svg: boolean): Source {
  const made = plan(strings);
  const spots: Spot[] = [];
  let markup = "";
  for (const token of made.tokens) {
    if (typeof token === "string") {
      markup += token;
      continue;
    }
    const mark = ` s-h${spots.length}=""`;
    if (token.kind === "content" || (token.kind === "text" && token.only)) {
      markup = markup.replace(/>\n?$/, (end) => mark + end);
    } else markup += token.kind === "text" ? `<!--${spots.length}--><!--/-->` : mark;
    spots.push("statics" in token ? { ...token, statics: token.statics.map(decoded) } : token);
  }
  const content = parse(markup, svg);
  const at = new Map<Node, number[]>();
  const walker = document.createTreeWalker(content, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_COMMENT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    if (node instanceof Comment) {
      if (node.data === "/") continue;
      at.set(node, [Number(node.data)]);
      node.data = "";
      continue;
    }
    const element = node as Element;
    for (const name of element.getAttributeNames()) {
      if (!/^s-h\d+$/.test(name)) continue;
      at.set(element, [...(at.get(element) ?? []), Number(name.slice(3))]);
      element.removeAttribute(name);
    }
  }
  if ([...at.values()].flat().length !== spots.length)
    throw new TemplateError("a parser would move this template's parts");
  return { content, spots, at, root: made.root !== undefined };
}

export function clone(source: Source): { nodes: ChildNode[]; places: Place[] } {
  const copy = document.importNode(source.content, true);
  const places: Place[] = [];
  if (!inStep(source, source.content.firstChild, copy.firstChild, null, places, false)) {
    throw new TemplateError("a template does not match its own clone");
  }
  return { nodes: [...copy.childNodes], places };
}

/** The places of a template's holes in the nodes from `first` up to `stop`; undefined when those are not its nodes. */
export function adopt(source: Source, first: Node | null, stop: Node | null): Place[] | undefined {
  const places: Place[] = [];
  return inStep(source, source.content.firstChild, first, stop, places, true) ? places : undefined;
}

function inStep(
  source: Source,
  from: Node | null,
  first: Node | null,
  stop: Node | null,
  places: Place[],
  compare: boolean,
): boolean {
  let live = first;
  for (let own = from; own !== null; own = own.nextSibling) {
    if (live === null || live === stop || live.nodeType !== own.nodeType) return false;
    if (own instanceof Element) {
      if (!(live instanceof Element) || own.localName !== live.localName || own.namespaceURI !== live.namespaceURI)
        return false;
      const indexes = source.at.get(own) ?? [];
      if (compare && !sameAttributes(source, own, live, indexes)) return false;
      let filled = false;
      for (const index of indexes) {
        const spot = source.spots[index] as Spot;
        filled ||= spot.kind === "text" || spot.kind === "content";
        places[index] = { spot, node: live, end: null };
      }
      if (!filled && !inStep(source, own.firstChild, live.firstChild, null, places, compare)) return false;
    } else if (own instanceof Comment) {
      const [index] = source.at.get(own) ?? [];
      if (index === undefined || (live as Comment).data !== "") return false;
      const end = endOf(live as Comment, stop);
      if (end === undefined) return false;
      places[index] = { spot: source.spots[index] as Spot, node: live as Comment, end };
      own = own.nextSibling as Node; // its end mark
      live = end;
    } else if (compare && (own as Text).data !== (live as Text).data) return false;
    live = live.nextSibling;
  }
  return live === stop;
}

function endOf(start: Comment, stop: Node | null): Comment | undefined {
  let depth = 0;
  for (let node = start.nextSibling; node !== null && node !== stop; node = node.nextSibling) {
    if (!(node instanceof Comment)) continue;
    if (node.data === "") depth++;
    else if (node.data === "/" && depth-- === 0) return node;
  }
  return undefined;
}

function sameAttributes(source: Source, own: Element, live: Element, indexes: readonly number[]): boolean {
  const holes = indexes.map((index) => source.spots[index] as Spot);
  for (const { name, value } of own.attributes) {
    if (name !== "open" && live.getAttribute(name) !== value) return false;
  }
  for (const { name } of live.attributes) {
    if (own.hasAttribute(name) || name === "open" || name === "s" || name === "k" || name.startsWith("s-")) continue;
    if (holes.some((spot) => "name" in spot && spot.name.toLowerCase() === name.toLowerCase())) continue;
    // Password managers and the like write on the fields that they watch; such a field is worth keeping.
    if (/^(input|textarea|select|form)$/.test(live.localName) && /^(data-|aria-busy$|style$)/.test(name)) continue;
    return false;
  }
  return true;
}
