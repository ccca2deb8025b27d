/**
 * Puts values into holes. What stands there is asked of the page itself (so it need not be known who wrote it: the server, an
 * earlier frame, a list operation), what is equal is not touched, and what does not fit is replaced.
 *
 *     show(element, Post(props), parent, before, key)     one element that shows one piece of html: a root or an item
 */
import { safeUrl, TemplateError } from "../allowed.ts";
import { keepingFocus, move, unheld } from "./hold.ts";
import { type Call, type List, type Note, note, noteOf, registry, type Template } from "./html.ts";
import { adopt, clone, type Place, parse, type Source, sourceOf } from "./walk.ts";

interface Part {
  readonly place: Place;
  /** The text last put here; undefined when it is not known. */
  last: unknown;
  filled: Filled | undefined;
}

interface Filled {
  readonly source: Source;
  readonly parts: readonly Part[];
}

/** What this module did, for tests and the curious. */
export const counts = { adopted: 0, replaced: 0, made: 0 };

/** The context of every view in this page. */
export const context: { cx: unknown } = { cx: {} };

/** The props that an element is known to show. Not known: what the server rendered, and what a part of has changed since. */
export const known = new WeakMap<Element, unknown>();
const filledElements = new WeakMap<Element, Filled>();

const unknown = Symbol("unknown");
/** In a clone, the attributes of holes are absent; in adopted nodes it is not known what stands there. */
const partsOf = (places: readonly Place[], cloned: boolean): Part[] =>
  places.map((place) => ({
    place,
    last: cloned && (place.spot.kind === "attr" || place.spot.kind === "bool") ? null : unknown,
    filled: undefined,
  }));

const inSvg = (parent: Node): boolean =>
  parent instanceof Element &&
  parent.namespaceURI === "http://www.w3.org/2000/svg" &&
  parent.localName !== "foreignObject";

function update(filled: Filled, values: readonly unknown[]): void {
  for (const part of filled.parts) {
    const { spot } = part.place;
    const value = values[spot.at];
    switch (spot.kind) {
      case "text":
        text(part, value);
        break;
      case "content": {
        const all = joined(spot.statics, values, spot.at);
        const element = part.place.node as Element;
        if (all !== part.last) {
          unheld(element, "content", () => {
            if (element.textContent !== all) element.textContent = all;
          });
        }
        part.last = all;
        break;
      }
      case "attr": {
        const whole = spot.statics.length === 2 && spot.statics.join("") === "";
        const none = whole && (value === null || value === undefined || value === false);
        const all = none ? null : joined(spot.statics, values, spot.at);
        attribute(part, spot.name, all !== null && spot.url ? safeUrl(all) : all);
        break;
      }
      case "bool":
        // Whether a person opened it is theirs once the page is there.
        if (spot.name === "open" && part.last === unknown) part.last = value ? "" : null;
        attribute(part, spot.name, value ? "" : null);
        break;
      case "prop":
        if (value !== part.last) {
          const target = part.place.node as unknown as Record<string, unknown>;
          unheld(part.place.node as Element, `.${spot.name}`, () => void (target[spot.name] = value));
        }
        part.last = value;
        break;
      case "on": {
        const act = noteOf(value);
        const name = act?.[note] === "on" ? `s-${act.event}` : undefined;
        const element = part.place.node as Element;
        if (part.last !== unknown && part.last !== name && part.last) element.removeAttribute(part.last as string);
        if (name !== undefined && act?.[note] === "on") assign(element, name, act.act);
        part.last = name;
        break;
      }
      default:
        spot satisfies never;
    }
  }
}

function written(value: unknown): string {
  if (typeof value === "string") return value.includes("\0") ? value.replaceAll("\0", "\ufffd") : value;
  if (value === null || value === undefined || typeof value === "boolean") return "";
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  throw new TemplateError(
    Array.isArray(value) ? "a hole holds no array; use each(list, key, view)" : "a hole holds text, a number or html",
  );
}

const joined = (statics: readonly string[], values: readonly unknown[], at: number): string =>
  statics.reduce((all, fixed, index) => all + written(values[at + index - 1]) + fixed);

/** Equal ones are not set again: style and observers would see a change. */
function assign(element: Element, name: string, value: string | null): void {
  if (element.getAttribute(name) === value) return;
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

function attribute(part: Part, name: string, value: string | null): void {
  if (value === part.last) return;
  const element = part.place.node as Element;
  const set = (): void => assign(element, name, value);
  part.last = value;
  if (/^(value|checked|selected)$/.test(name)) unheld(element, name, set);
  else set();
}

// --- text holes ---------------------------------------------------------------------------------------------------------

function clear(parent: Node, first: Node | null, stop: Node | null): void {
  for (let node = first; node !== null && node !== stop; ) {
    const next: Node | null = node.nextSibling;
    parent.removeChild(node);
    node = next;
  }
}

function text(part: Part, value: unknown): void {
  const { node, end } = part.place;
  const parent = end === null ? node : (node.parentNode as Node);
  const first = end === null ? node.firstChild : node.nextSibling;
  const what = noteOf(value);
  if (what === undefined) {
    if (value === part.last) return;
    const data = written(value);
    if (first instanceof Text && first.nextSibling === end && data !== "") {
      if (first.data !== data) first.data = data;
    } else {
      clear(parent, first, end);
      if (data !== "") parent.insertBefore(document.createTextNode(data), end);
    }
    part.filled = undefined;
    part.last = value;
    return;
  }
  part.last = unknown;
  if (what[note] === "html") {
    const source = sourceOf(what.strings, inSvg(parent));
    if (part.filled?.source !== source) {
      const places = adopt(source, first, end);
      if (places !== undefined) {
        counts.adopted++;
        part.filled = { source, parts: partsOf(places, false) };
      } else {
        part.filled = keepingFocus(
          () => {
            clear(parent, first, end);
            const made = clone(source);
            counts.made++;
            for (const child of made.nodes) parent.insertBefore(child, end);
            return { source, parts: partsOf(made.places, true) };
          },
          () => parent as Element,
        );
      }
    }
    update(part.filled, what.values);
    return;
  }
  part.filled = undefined;
  if (what[note] === "list") list(parent, first, end, what);
  else if (what[note] === "call") {
    const only = first instanceof Element && first.nextSibling === end ? first : null;
    if (only === null) clear(parent, first, end);
    show(only, what, parent, end);
  } else if (what[note] === "raw") {
    const made = parse(what.text, inSvg(parent));
    let live = first;
    let same = true;
    for (let own = made.firstChild; own !== null && same; own = own.nextSibling) {
      same = live !== null && live !== end && own.isEqualNode(live);
      live = live?.nextSibling ?? null;
    }
    if (same && live === end) return;
    clear(parent, first, end);
    for (const child of [...document.importNode(made, true).childNodes]) parent.insertBefore(child, end);
  } else throw new TemplateError("on() stands as a whole attribute");
}

// --- elements -----------------------------------------------------------------------------------------------------------

/** The template that a note comes to, and the mark of its root. */
function resolved(what: Note | undefined): {
  template: Template;
  s: string | null;
  call?: Call;
  channel?: string | null;
} {
  if (what?.[note] === "html") return { template: what, s: null };
  if (what?.[note] !== "call")
    throw new TemplateError("an item of each() and the view of a component are html with one root element");
  const definition = registry.get(what.id);
  if (definition === undefined) throw new TemplateError(`this page has no component ${what.id}`);
  const template = noteOf(definition.view(what.props, context.cx));
  if (template?.[note] !== "html") throw new TemplateError(`the view of ${what.id} has one root element of its own`);
  const channel = definition.channel?.(what.props) || null;
  return { template, s: `${what.id}:${written(definition.key(what.props))}`, call: what, channel };
}

/**
 * Shows `what` as one element: `old` if it can be that, or a new one in its place (before `before` when there is no old one).
 * Answers the element that shows it.
 */
export function show(
  old: Element | null,
  what: Note | undefined,
  parent: Node,
  before: Node | null,
  key?: string,
): Element {
  const { template, s, call, channel } = resolved(what);
  const source = sourceOf(template.strings, inSvg(parent));
  if (!source.root) throw new TemplateError("an item of each() and the view of a component have one root element");
  let filled = old === null || old.getAttribute("s") !== s ? undefined : (filledElements.get(old) ?? null);
  if (old !== null && filled !== undefined && filled?.source !== source) {
    const places = adopt(source, old, old.nextSibling);
    if (places !== undefined) counts.adopted++;
    filled = places === undefined ? undefined : { source, parts: partsOf(places, false) };
  }
  let element: Element;
  if (old !== null && filled) {
    element = old;
    update(filled, template.values);
  } else {
    const made = clone(source);
    element = made.nodes[0] as Element & ChildNode;
    filled = { source, parts: partsOf(made.places, true) };
    counts.made++;
    if (s !== null) element.setAttribute("s", s);
    if (key !== undefined && key !== keyOf(s)) element.setAttribute("k", key);
    parent.insertBefore(element, old ?? before);
    update(filled, template.values);
    if (old !== null) {
      counts.replaced++;
      keepingFocus(
        () => parent.removeChild(old),
        () => element,
      );
    }
  }
  filledElements.set(element, filled);
  if (call !== undefined) {
    known.set(element, call.props);
    assign(element, "s-channel", channel || null);
  }
  return element;
}

/** The key in the mark of a root. */
const keyOf = (s: string | null): string | null => (s === null ? null : s.slice(s.indexOf(":") + 1));

/** What an element of a keyed list is known by: its own `k`, or the key of the component that it is. */
export const itemKey = (element: Element): string | null =>
  element.getAttribute("k") ?? keyOf(element.getAttribute("s"));

// --- lists --------------------------------------------------------------------------------------------------------------

function list(parent: Node, first: Node | null, stop: Node | null, what: List): void {
  const byKey = new Map<string, Element>();
  const inOrder: Element[] = [];
  for (let node = first; node !== null && node !== stop; ) {
    const next: Node | null = node.nextSibling;
    const key = node instanceof Element ? itemKey(node) : null;
    if (node instanceof Element && what.key === null) inOrder.push(node);
    else if (node instanceof Element && key !== null && !byKey.has(key)) byKey.set(key, node);
    else parent.removeChild(node);
    node = next;
  }
  const wanted: Element[] = [];
  let at = 0;
  for (const item of what.items) {
    const key = what.key === null ? undefined : written(what.key(item));
    const old = key === undefined ? inOrder[at] : byKey.get(key);
    if (key !== undefined) byKey.delete(key);
    wanted.push(show(old ?? null, noteOf(what.view(item, at++)), parent, stop, key));
  }
  for (const gone of what.key === null ? inOrder.slice(at) : byKey.values()) gone.remove();
  order(parent, wanted, stop);
}

/** Brings the elements before `stop` into the wanted order with the fewest moves: the longest run already right stays. */
function order(parent: Node, wanted: readonly Element[], stop: Node | null): void {
  const position = new Map<Node, number>();
  let count = 0;
  for (
    let node: Node | null = wanted.length > 0 ? parent.firstChild : null;
    node !== null && node !== stop;
    node = node.nextSibling
  ) {
    position.set(node, count++);
  }
  const places = wanted.map((element) => position.get(element) as number);
  if (places.every((place, at) => at === 0 || place > (places[at - 1] as number))) return;
  // Longest increasing subsequence: `tails[n]` is where the best run of length n+1 ends, `previous` links a run backwards.
  const tails: number[] = [];
  const previous: number[] = [];
  places.forEach((place, at) => {
    let low = 0;
    let high = tails.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((places[tails[middle] as number] as number) < place) low = middle + 1;
      else high = middle;
    }
    previous[at] = low > 0 ? (tails[low - 1] as number) : -1;
    tails[low] = at;
  });
  const staying = new Set<number>();
  for (let at = tails.at(-1) ?? -1; at >= 0; at = previous[at] as number) staying.add(at);
  keepingFocus(
    () => {
      let next = stop;
      for (let at = wanted.length - 1; at >= 0; at--) {
        const element = wanted[at] as Element;
        if (!staying.has(at)) move(parent, element, next);
        next = element;
      }
    },
    () => parent as Element,
  );
}
