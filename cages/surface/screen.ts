/**
 * A screen: one root component that fills a page, and where its props come from. Each has two addresses: the page itself,
 * and the same as data (`/-/data/...`), for an open page that lost its place or was upgraded.
 *
 *     const thread = screen({ component: Thread, channels, load: (ask, who) => impact.Forum.thread(...), title });
 *     routes: { "GET /t/:id": thread.page, "GET /-/data/t/:id": thread.data }
 */

import { type Answer, answerType } from "#lib/template/browser.ts";
import { type Component, render } from "#lib/template/html.ts";
import { type Ask, type Reply, reply } from "#runtime";
import { addresses } from "./assets.ts";
import { grant, orbitFor } from "./channels.ts";
import { Header } from "./components/site/header.ts";
import { layout } from "./components/site/layout.ts";
import type { Cx } from "./context.ts";
import { pageHeaders } from "./guard.ts";
import { type Who, who } from "./who.ts";

export interface Screen<P> {
  readonly component: Component<P>;
  channels(ask: Ask, who: Who): readonly string[] | Promise<readonly string[]>;
  load(ask: Ask, who: Who): Promise<P>;
  title(props: P, cx: Cx): string;
}

export function screen<P>(made: Screen<P>): { page(ask: Ask): Promise<Reply>; data(ask: Ask): Promise<Reply> } {
  return {
    async page(ask) {
      const asking = await who(ask);
      const live = await listening(asking, await made.channels(ask, asking));
      const props = await made.load(ask, asking);
      return show({ ask, who: asking, component: made.component, props, title: made.title(props, asking.cx), live });
    },
    async data(ask) {
      const asking = await who(ask);
      const live = await listening(asking, await made.channels(ask, asking));
      const props = await made.load(ask, asking);
      const user = asking.cx.viewer?.id ?? null;
      const header = { user, notices: asking.notices };
      return answer({
        cx: asking.cx,
        frames: [
          { s: `${made.component.id}:${made.component.keyOf(props)}`, p: props },
          { s: `${Header.id}:${Header.keyOf(header)}`, p: header },
        ],
        ...(live === undefined ? {} : { channels: live }),
      });
    },
  };
}

/** Positions are taken before the model is read: what changes in between comes by them. */
const listening = ({ cx }: Who, channels: readonly string[]) =>
  grant([...channels, ...(cx.viewer === null ? [] : [`person:${cx.viewer.id}`]), "surface"], cx.viewer?.id ?? null);

export interface Shown<P> {
  readonly ask: Ask;
  readonly who: Who;
  readonly component: Component<P>;
  readonly props: P;
  readonly title: string;
  readonly live?: Awaited<ReturnType<typeof grant>>;
  readonly status?: number;
}

/** The whole document of a page. */
export function show<P>({ ask, who: { cx, notices, cookie }, component, props, title, live, status }: Shown<P>): Reply {
  const { live: script, site } = addresses();
  const orbit = live === undefined ? undefined : orbitFor(ask.url);
  const data = {
    cx,
    channels: live ?? {},
    orbit,
    ...(status === undefined ? { data: `/-/data${ask.url.pathname}${ask.url.search}` } : {}),
  };
  const body = render(cx, () =>
    layout({ title, notices, main: component(props), style: site, script, live: data }, cx),
  );
  return reply({
    status: status ?? 200,
    // As bytes at once: a string would be read through twice, for its length and for the wire.
    body,
    headers: { ...pageHeaders(orbit), ...(cookie === undefined ? {} : { "set-cookie": cookie }) },
  });
}

/** What the page's script is answered: frames to apply, or where to go. */
export const answer = (
  made: Answer,
  options: { readonly status?: number; readonly cookie?: string | undefined } = {},
): Reply =>
  reply({
    status: options.status ?? 200,
    headers: {
      "content-type": answerType,
      "cache-control": "private, no-store",
      "x-content-type-options": "nosniff",
      ...(options.cookie === undefined ? {} : { "set-cookie": options.cookie }),
    },
    body: JSON.stringify(made),
  });

/** Whether the script asks: then it gets an Answer where a browser without one gets a page or is sent on. */
export const byScript = (ask: Ask): boolean => ask.headers["accept"] === answerType;
