/**
 * What the two back ends of `html` have in common: the values that fill holes, components, and what a component may do to
 * its live root. The server's half is html.ts; bundles for the browser take browser/html.ts in its place.
 *
 *     export const Thread = component<ThreadProps, { "post.added": Post }>("forum/thread", {
 *       key: (p) => p.id,
 *       channel: (p) => `thread:${p.id}`,                                  // what its root listens to
 *       events: { "post.added": (post, live) => live.list("posts").add(PostView, post) },
 *       view: (p) => html`<main><h1>${p.title}</h1><ol s-list="posts">${each(p.posts, (x) => x.id, PostView)}</ol></main>`,
 *     });
 *
 * A view is a pure, synchronous function of props and context, with one root element; it reads no clock. Everything that a
 * page shows of a component is in its props, and a frame carries all of them: applying one twice changes nothing.
 */
declare const finished: unique symbol;

/** What `html` made: markup on the server, something to be put in place in the browser. */
export interface Html {
  readonly [finished]: true;
}

/** What may stand in a hole. null, undefined, true, false and "" show nothing in text. */
export type Value = string | number | bigint | boolean | null | undefined | Html;

export interface Component<P> {
  (props: P): Html;
  /** Called `id` because functions have a `name` of their own. */
  readonly id: string;
  readonly keyOf: (props: P) => string;
}

export interface Definition<P, E, Cx> {
  /** Tells the roots of one component in a page apart. */
  key(props: P): string;
  view(props: P, cx: Cx): Html;
  /** The channel whose events reach this root. */
  channel?(props: P): string | null | undefined;
  /** In the browser, for each event of the channel: what it changes here. */
  readonly events?: { readonly [T in keyof E]?: (data: E[T], live: Live) => void };
  /** In the browser, for `on("click", "NAME")`. */
  readonly act?: Readonly<Record<string, (live: Live, event: Event) => void>>;
}

/** One live root, for reducers and acts. What it is told is applied with the next animation frame. */
export interface Live {
  /** The key of this root. */
  readonly key: string;
  readonly element: Element;
  /** Shows `props` in every root of that component and key; nothing happens when the page has none. */
  set<P>(component: Component<P>, props: P): void;
  /** The list in this root whose element has `s-list="NAME"`. */
  list(name: string): LiveList;
  /** Another root in the page. */
  at<P>(component: Component<P>, key: string): Omit<Live, "element">;
}

export interface LiveList {
  /** At the end, or before the item of that key, or first. An item that is there already is set (and moved there). */
  add<P>(component: Component<P>, props: P, where?: { readonly before?: string; readonly first?: boolean }): void;
  /** To the end, or before the item of that key. */
  move(key: string, before?: string): void;
  del(key: string): void;
}

/** The wire. Unknown kinds are ignored, so that a page may meet a newer server. */
export type Frame =
  | { readonly s: string; readonly p: unknown }
  /** `b`: before that key, null at the end, 0 first. `c` and `p` with `add`. */
  | {
      readonly s: string;
      readonly l: string;
      readonly op: "add" | "move" | "del";
      readonly k: string;
      readonly b?: string | null | 0;
      readonly c?: string;
      readonly p?: unknown;
    }
  /** An event of a channel, for the roots that listen to it. */
  | { readonly e: string; readonly on: string; readonly p: unknown }
  /** New revisions: name of a component (or "*") to the module, or any name to a stylesheet. */
  | { readonly u: Readonly<Record<string, string>> };

export const componentName = /^[a-z][\w-]*(\/[a-z][\w-]*)*$/i;
