/**
 * A page's live roots: what frames do to them. The page itself is the register (roots are found by their `s`, lists by their
 * `s-list`, items by their `k`), so nothing is built at load and nothing can disagree with what is shown.
 *
 *     const page = createPage({ refetch });
 *     page.apply([{ s: "forum/likes:7", p: { id: "7", n: 3 } }]);      with the next animation frame
 *
 * Of several sets of one root in a frame the last counts. A failing view is reported and leaves its root as it was.
 */
import type { Component, Frame, Live, LiveList } from "../contract.ts";
import { itemKey, known, show } from "./fill.ts";
import { keepingFocus, move } from "./hold.ts";
import { type AnyDefinition, type Call, note, register, registry } from "./html.ts";

export interface PageOptions {
  /** Brings the page's data again, when what is shown is not known well enough. Called one at a time. */
  refetch(): void;
  /** Default: import(). */
  readonly load?: (url: string) => Promise<unknown>;
  readonly failed?: (error: unknown) => void;
}

export interface Page {
  apply(frames: readonly Frame[]): void;
  /** Applies what waits, now. */
  flush(): void;
  live(element: Element): Live;
  definition(element: Element): AnyDefinition | undefined;
}

/** A hidden page gets no animation frames: what waits is applied anyway when it is this much. */
const maxWaiting = 1_000;
/** Events may cause frames, and those events; a cycle ends here. */
const maxRounds = 10;

const callOf = (id: string, props: unknown): Call => ({ [note]: "call", id, props });
/** Shows a root anew in its place, as the item that it is. */
const again = (root: Element, call: Call): Element =>
  show(root, call, root.parentNode as Node, root.nextSibling, root.getAttribute("k") ?? undefined);
const idOf = (s: string): string => s.slice(0, s.indexOf(":"));

export function createPage(options: PageOptions): Page {
  let waiting: Frame[] = [];
  let scheduled = false;
  const failed = options.failed ?? ((error) => console.error(error));

  const by = (attribute: string, value: string): Element[] => [
    ...document.querySelectorAll(`[${attribute}="${CSS.escape(value)}"]`),
  ];

  function apply(frames: readonly Frame[]): void {
    for (const frame of frames) waiting.push(frame);
    if (waiting.length > maxWaiting) flush();
    else if (!scheduled && waiting.length > 0) {
      scheduled = true;
      requestAnimationFrame(flush);
    }
  }

  function flush(): void {
    scheduled = false;
    const frames = waiting;
    waiting = [];
    const last = new Map<string, number>();
    frames.forEach((frame, at) => {
      if ("s" in frame && !("l" in frame)) last.set(frame.s, at);
    });
    frames.forEach((frame, at) => {
      if ("s" in frame && !("l" in frame) && last.get(frame.s) !== at) return;
      // What a reducer asks for is shown before the next event, which may build on it.
      for (let next: Frame[] = [frame], round = 0; next.length > 0 && round < maxRounds; round++) {
        for (const each of next) attempt(each);
        next = waiting;
        waiting = [];
      }
    });
  }

  function attempt(frame: Frame): void {
    try {
      one(frame);
    } catch (error) {
      failed(error);
    }
  }

  function one(frame: Frame): void {
    if ("u" in frame) void upgrade(frame.u).catch(failed);
    else if ("e" in frame) {
      for (const element of by("s-channel", frame.on)) {
        definition(element)?.events?.[frame.e]?.(frame.p, live(element));
      }
    } else if ("l" in frame) {
      for (const root of by("s", frame.s)) listOperation(root, frame);
    } else if ("s" in frame) {
      for (const root of by("s", frame.s)) {
        again(root, callOf(idOf(frame.s), frame.p));
        changedIn(root.parentElement);
      }
    }
  }

  /** The props known of what surrounds a change no longer say what is shown. */
  function changedIn(element: Element | null): void {
    for (let root = element?.closest("[s]"); root; root = root.parentElement?.closest("[s]")) known.delete(root);
  }

  function listOperation(root: Element, frame: Extract<Frame, { l: string }>): void {
    const named = `[s-list="${CSS.escape(frame.l)}"]`;
    const container = root.matches(named)
      ? root
      : [...root.querySelectorAll(named)].find((element) => element.closest("[s]") === root);
    // What is shown has no such list (an empty state in its place, say): only the whole of the data helps.
    if (container === undefined) {
      options.refetch();
      return;
    }
    const item = (key: string): Element | null =>
      [...container.children].find((child) => itemKey(child) === key) ?? null;
    const old = item(frame.k);
    const before = frame.b === 0 ? container.firstChild : typeof frame.b === "string" ? item(frame.b) : null;
    if (frame.op === "del") old?.remove();
    else if (frame.op === "move") {
      if (old !== null && old !== before) {
        keepingFocus(
          () => move(container, old, before),
          () => container,
        );
      }
    } else if (frame.op === "add" && frame.c !== undefined) {
      // An item that is there stays in its place, unless a place is named.
      if (old !== null && before !== null && before !== old)
        keepingFocus(
          () => move(container, old, before),
          () => container,
        );
      show(old, callOf(frame.c, frame.p), container, before, frame.k);
    }
    changedIn(container);
  }

  async function upgrade(revisions: Readonly<Record<string, string>>): Promise<void> {
    const names: string[] = [];
    for (const [name, url] of Object.entries(revisions)) {
      if (/\.css(\?|$)/.test(url)) style(name, url);
      else {
        names.push(name);
        register(await (options.load ?? ((from: string) => import(from)))(url));
      }
    }
    if (names.length === 0) return;
    let missing = false;
    for (const root of document.querySelectorAll("[s]")) {
      const id = idOf(root.getAttribute("s") as string);
      if (!root.isConnected || !(names.includes("*") || names.includes(id))) continue;
      if (!known.has(root)) missing = true;
      else {
        try {
          again(root, callOf(id, known.get(root)));
        } catch (error) {
          failed(error);
        }
      }
    }
    if (missing) options.refetch();
  }

  function style(name: string, url: string): void {
    const old = document.querySelector(`link[rel="stylesheet"][s-style="${CSS.escape(name)}"]`);
    const fresh = document.createElement("link");
    fresh.rel = "stylesheet";
    fresh.href = url;
    fresh.setAttribute("s-style", name);
    // Both stand until the new one is there: the page is never without.
    fresh.addEventListener("load", () => old?.remove());
    fresh.addEventListener("error", () => fresh.remove());
    if (old === null) document.head.append(fresh);
    else old.after(fresh);
  }

  const definition = (element: Element): AnyDefinition | undefined => {
    const s = element.getAttribute("s");
    return s === null ? undefined : registry.get(idOf(s));
  };

  function toward(s: string): Omit<Live, "element"> {
    return {
      key: s.slice(s.indexOf(":") + 1),
      set: <P>(component: Component<P>, props: P) =>
        apply([{ s: `${component.id}:${component.keyOf(props)}`, p: props }]),
      list: (name) => listOf(s, name),
      at: (component, key) => toward(`${component.id}:${key}`),
    };
  }

  function listOf(s: string, l: string): LiveList {
    return {
      add(component, props, where) {
        const b = where?.first ? 0 : (where?.before ?? null);
        apply([{ s, l, op: "add", k: component.keyOf(props), b, c: component.id, p: props }]);
      },
      move: (k, before) => apply([{ s, l, op: "move", k, b: before ?? null }]),
      del: (k) => apply([{ s, l, op: "del", k }]),
    };
  }

  const live = (element: Element): Live => ({ ...toward(element.getAttribute("s") ?? ":"), element });

  return { apply, flush, live, definition };
}
