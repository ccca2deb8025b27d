/** The pages of the site: what each shows, and what it listens to. */
import { CageError } from "#runtime";
import { impact } from "./back.ts";
import { Front } from "./components/forum/front/front.ts";
import { t as frontText } from "./components/forum/front/text.ts";
import { Thread } from "./components/forum/thread/thread.ts";
import { Notices } from "./components/people/notices/notices.ts";
import { t as noticesText } from "./components/people/notices/text.ts";
import { Profile } from "./components/people/profile/profile.ts";
import { Sign } from "./components/people/sign/sign.ts";
import { t as signText } from "./components/people/sign/text.ts";
import { screen } from "./screen.ts";

/** Threads on one page of the front. */
const frontLimit = 30;

const named = (title: string): string => `${title} · Planet`;

export const front = screen({
  component: Front,
  channels: () => ["front"],
  async load(ask) {
    const { before } = ask.query;
    const threads = await impact.Forum.threads(frontLimit, before);
    return { threads, before, next: threads.length < frontLimit ? undefined : threads.at(-1)?.id };
  },
  title: (_, cx) => named(frontText(cx).title()),
});

export const thread = screen({
  component: Thread,
  channels: (ask) => [`thread:${ask.params["id"]}`],
  async load(ask, { session }) {
    const { after } = ask.query;
    return { ...(await impact.Forum.thread(session, ask.params["id"] ?? "", after)), after };
  },
  title: (p) => named(p.thread.title),
});

export const profile = screen({
  component: Profile,
  // The channel goes by the person's id, which only the model knows: it is asked before the positions, and again after.
  async channels(ask, { session }) {
    const { person } = await impact.Forum.profile(session, ask.params["name"] ?? "");
    return [`profile:${person.id}`];
  },
  load: (ask, { session }) => impact.Forum.profile(session, ask.params["name"] ?? ""),
  title: (p) => named(p.person.name),
});

export const notices = screen({
  component: Notices,
  channels: () => [],
  async load(_, { session, cx }) {
    if (session === "") throw new CageError("UNAUTHORIZED", "sign in to see your notices");
    const all = await impact.Accounts.notices(session);
    await impact.Accounts.noticesSeen(session);
    return { user: cx.viewer?.id ?? "", notices: all };
  },
  title: (_, cx) => named(noticesText(cx).title()),
});

export const signIn = screen({
  component: Sign,
  channels: () => [],
  load: async () => ({ way: "in" as const }),
  title: (_, cx) => named(signText(cx).signIn()),
});

export const signUp = screen({
  component: Sign,
  channels: () => [],
  load: async () => ({ way: "up" as const }),
  title: (_, cx) => named(signText(cx).signUp()),
});
