/**
 * The client of a page: the entry that an application's script calls once.
 *
 *     live({ feed: orbit({ ... }), components: [Thread, Post, Rating] });
 *
 * It reads one JSON block of the page (`<script type="application/json" id="live">`, see `PageData`), subscribes to the
 * page's channels from the positions noted there, and listens at the document: `on()` acts, and forms. A form that posts to
 * this site is sent in the background and answered by frames, or by where to go; without scripts the same form posts and
 * the same address answers a page. A form marked `s-plain`, or with files, is left alone.
 *
 * Nothing else happens at load: the server's markup is adopted root by root, when a frame first concerns it.
 */
import { context } from "./browser/fill.ts";
import { sendForms } from "./browser/forms.ts";
import { createPage, type Page } from "./browser/page.ts";
import type { Component, Frame } from "./contract.ts";

/** What carries events to this page. `gap`: what was missed cannot be replayed. Answers the end of the subscription. */
export interface Feed {
  subscribe(
    channel: string,
    from: { readonly token: string; readonly position: string },
    on: { event(event: { type: string; data: unknown }, position: string): void; gap(): void },
  ): () => void;
}

export type Channels = Readonly<Record<string, { readonly token: string; readonly position: string }>>;

/** The JSON block. Positions were taken before the model was read, so what happened since comes by the feed. */
export interface PageData {
  readonly cx: unknown;
  readonly channels: Channels;
  /** Where this page's data can be had again, as an `Answer`. */
  readonly data?: string;
}

/** What an address answers to this client. */
export interface Answer {
  /** A new context for every view from now on. */
  readonly cx?: unknown;
  readonly frames?: readonly Frame[];
  readonly channels?: Channels;
  /** Go there instead. */
  readonly to?: string;
  /** The form did its work: empty it. */
  readonly reset?: boolean;
}

/** Asked for by this client in `accept`; who sees it answers an `Answer` and not a page. */
export const answerType = "application/vnd.surface+json";

export interface LiveOptions {
  readonly feed?: Feed;
  /** Named so that a bundle has them; importing a component is what registers it. */
  readonly components?: readonly Component<never>[];
  readonly id?: string;
  /** Pages that lost their place ask again within this time, each at a moment of its own: no stampede on a server just back. */
  readonly spreadMs?: number;
  readonly failed?: (error: unknown) => void;
}

/** Events that `on()` can name. Those that do not bubble are caught on the way down. */
const heard = ["click", "input", "change", "keydown", "submit", "focus", "blur", "toggle", "pointerenter"] as const;

export function live(options: LiveOptions): Page & { stop(): void } {
  const failed = options.failed ?? ((error) => console.error(error));
  const block = document.getElementById(options.id ?? "live")?.textContent;
  const data = (block ? JSON.parse(block) : { cx: {}, channels: {} }) as PageData;
  const subscriptions = new Map<string, () => void>();
  let asking = false;
  context.cx = data.cx;

  const page = createPage({ refetch, failed });
  const stopped = new AbortController();

  function listen(channels: Channels): void {
    for (const [channel, from] of Object.entries(channels)) {
      subscriptions.get(channel)?.();
      const end = options.feed?.subscribe(channel, from, {
        event({ type, data: p }) {
          // Frames may travel as they are: upgrades do.
          page.apply(type === "surface" ? (p as Frame[]) : [{ e: type, on: channel, p }]);
        },
        gap: refetch,
      });
      if (end !== undefined) subscriptions.set(channel, end);
    }
  }

  function take(answer: Answer): void {
    if (answer.cx !== undefined) context.cx = answer.cx;
    if (answer.frames !== undefined) page.apply(answer.frames);
    if (answer.channels !== undefined) listen(answer.channels);
    if (answer.to !== undefined) location.assign(answer.to);
  }

  function refetch(): void {
    if (asking || data.data === undefined) return;
    asking = true;
    setTimeout(
      () => {
        fetch(data.data as string, { headers: { accept: answerType }, signal: stopped.signal })
          .then(async (response) => {
            if (!response.ok) throw new Error(`the page's data answered ${response.status}`);
            take((await response.json()) as Answer);
          })
          .catch(failed)
          .finally(() => {
            asking = false;
          });
      },
      Math.random() * (options.spreadMs ?? 2_000),
    );
  }

  function act(event: Event): void {
    const name = `s-${event.type}`;
    const target = event.target instanceof Element ? event.target.closest(`[${name}]`) : null;
    if (target === null) return;
    for (let root = target.closest("[s]"); root; root = root.parentElement?.closest("[s]") ?? null) {
      const acting = page.definition(root)?.act?.[target.getAttribute(name) as string];
      if (acting === undefined) continue;
      acting(page.live(root), event);
      return;
    }
  }

  for (const type of heard) document.addEventListener(type, act, { capture: true, signal: stopped.signal });
  sendForms<Answer>({
    type: answerType,
    failed,
    signal: stopped.signal,
    take(answer) {
      take(answer);
      page.flush();
    },
  });
  listen(data.channels);

  return {
    ...page,
    stop() {
      stopped.abort();
      for (const end of subscriptions.values()) end();
    },
  };
}
