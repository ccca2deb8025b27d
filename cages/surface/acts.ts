/**
 * What people do: each act is a form's POST. The script of a page is answered by frames, the same that everybody else gets by
 * Orbit; a browser without it is sent on to the page that shows the outcome, or shown the form again with what is wrong.
 */

import type { Answer } from "#lib/template/browser.ts";
import type { Component, Frame } from "#lib/template/html.ts";
import { type Ask, type Reply, reply } from "#runtime";
import { impact, type Refusal, refusal } from "./back.ts";
import { Comment, CommentForm, Comments } from "./components/forum/comments/comments.ts";
import { StartForm } from "./components/forum/front/front.ts";
import { Post } from "./components/forum/post/post.ts";
import { Score, Vote } from "./components/forum/rating/rating.ts";
import { Reply as ReplyForm } from "./components/forum/reply/reply.ts";
import { Thread } from "./components/forum/thread/thread.ts";
import { Sign } from "./components/people/sign/sign.ts";
import { sameSite } from "./guard.ts";
import type { Session } from "./model.ts";
import { paths } from "./paths.ts";
import { answer, byScript, show } from "./screen.ts";
import { signedIn, signedOut } from "./session.ts";
import { type Who, who } from "./who.ts";

/** A text of the form, as people mean it: line breaks are one character, letters are whole. Impact judges it. */
function text(ask: Ask, name: string): string {
  const value =
    typeof ask.body === "object" && ask.body !== null ? (ask.body as Record<string, unknown>)[name] : undefined;
  return typeof value === "string" ? value.replaceAll("\r\n", "\n").normalize("NFC") : "";
}

/** The name of this act: the script's for one attempt, else the page's. Done once however often it is sent. */
const onceOf = (ask: Ask): string => (ask.headers["idempotency-key"] ?? text(ask, "once")).slice(0, 80);

const set = <P>(component: Component<P>, p: P): Frame => ({ s: `${component.id}:${component.keyOf(p)}`, p });

interface Outcome {
  /** Where a browser without script goes to see it. */
  readonly to: string;
  readonly answer: Answer;
  readonly cookie?: string;
}

interface Act<P> {
  readonly signedIn: boolean;
  perform(ask: Ask, asking: Who): Promise<Outcome>;
  /** The form again, with what was refused. */
  refused?(refused: Refusal, ask: Ask): { readonly component: Component<P>; readonly props: P };
}

const act =
  <P>(made: Act<P>) =>
  async (ask: Ask): Promise<Reply> => {
    sameSite(ask);
    const asking = await who(ask);
    const script = byScript(ask);
    const sent = (to: string, cookie?: string): Reply =>
      reply({
        status: 303,
        headers: { location: to, "cache-control": "no-store", ...(cookie ? { "set-cookie": cookie } : {}) },
      });
    if (made.signedIn && asking.session === "") return script ? answer({ to: paths.signIn }) : sent(paths.signIn);
    try {
      const outcome = await made.perform(ask, asking);
      return script ? answer(outcome.answer, { cookie: outcome.cookie }) : sent(outcome.to, outcome.cookie);
    } catch (error) {
      const refused = refusal(error);
      const form = refused === undefined ? undefined : made.refused?.(refused, ask);
      if (refused === undefined || form === undefined) throw error;
      return script
        ? answer({ frames: [set(form.component, form.props)] }, { status: 422 })
        : show({ ask, who: asking, ...form, title: "Planet", status: 422 });
    }
  };

export const start = act({
  signedIn: true,
  async perform(ask, { session }) {
    const thread = await impact.Forum.start(session, text(ask, "title"), text(ask, "body"), onceOf(ask));
    const to = paths.thread(thread.id);
    return { to, answer: { to } };
  },
  refused: ({ message, fields }, ask) => ({
    component: StartForm,
    props: { title: text(ask, "title"), body: text(ask, "body"), error: message, errors: fields },
  }),
});

export const replyTo = act({
  signedIn: true,
  async perform(ask, { session }) {
    const thread = ask.params["id"] ?? "";
    const post = await impact.Forum.reply(session, thread, text(ask, "body"), onceOf(ask));
    const added: Frame = {
      s: `${Thread.id}:${thread}`,
      l: "posts",
      op: "add",
      k: post.id,
      b: null,
      c: Post.id,
      p: post,
    };
    return {
      to: `${paths.thread(thread)}#p${post.id}`,
      answer: { reset: true, frames: [added, set(ReplyForm, { thread })] },
    };
  },
  refused: ({ message, fields }, ask) => ({
    component: ReplyForm,
    props: { thread: ask.params["id"] ?? "", body: text(ask, "body"), error: fields["body"] ?? message },
  }),
});

export const comment = act({
  signedIn: true,
  async perform(ask, { session }) {
    const item = text(ask, "item");
    const added = await impact.Forum.comment(session, item, text(ask, "body"), onceOf(ask));
    const frame: Frame = {
      s: `${Comments.id}:${item}`,
      l: "comments",
      op: "add",
      k: added.id,
      b: null,
      c: Comment.id,
      p: added,
    };
    return { to: back(ask), answer: { reset: true, frames: [frame, set(CommentForm, { item })] } };
  },
  refused: ({ message, fields }, ask) => ({
    component: CommentForm,
    props: { item: text(ask, "item"), body: text(ask, "body"), error: fields["body"] ?? message },
  }),
});

export const rate = act({
  signedIn: true,
  async perform(ask, { session }) {
    const { item, up, down, mine } = await impact.Forum.rate(session, text(ask, "item"), Number(text(ask, "value")));
    return {
      to: back(ask),
      answer: { frames: [set(Score, { item, up, down }), set(Vote, { item, mine: mine ?? 0 })] },
    };
  },
});

const entered = ({ token, expires }: Session): Outcome => ({
  to: paths.front,
  answer: { to: paths.front },
  cookie: signedIn(token, expires),
});

const sign = (way: "in" | "up") =>
  act({
    signedIn: false,
    async perform(ask) {
      const [name, password] = [text(ask, "name").trim(), text(ask, "password")];
      return entered(
        await (way === "in" ? impact.Accounts.signIn(name, password) : impact.Accounts.signUp(name, password)),
      );
    },
    refused: ({ message, fields }, ask) => ({
      component: Sign,
      // What is wrong with one field is said there; the whole is spoken of only when no field is.
      props: {
        way,
        name: text(ask, "name"),
        error: Object.keys(fields).length > 0 ? undefined : message,
        errors: fields,
      },
    }),
  });

export const signIn = sign("in");
export const signUp = sign("up");

export const signOut = act({
  signedIn: false,
  async perform(_, { session }) {
    if (session !== "") await impact.Accounts.signOut(session);
    return { to: paths.front, answer: { to: paths.front }, cookie: signedOut() };
  },
});

/** The page that the form was on, if it was one of ours. */
function back(ask: Ask): string {
  try {
    const from = new URL(ask.headers["referer"] ?? "");
    return from.host === ask.headers["host"] ? from.pathname + from.search : paths.front;
  } catch {
    return paths.front;
  }
}
