/**
 * Surface over real HTTP with the real Orbit beside it, and an Impact that keeps its people and posts in memory: what the
 * pages do, without the cages behind them.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AccountsClient, ForumClient } from "../../../cages/impact/planet.thrift";
import * as channels from "../../../cages/orbit/channels.ts";
import * as comet from "../../../cages/orbit/comet.ts";
import { life } from "../../../cages/surface/assets.ts";
import type { Comment, Notice, Person, Post, Rating, Thread } from "../../../cages/surface/model.ts";
import * as web from "../../../cages/surface/web.ts";
import { keepSecretsIn } from "../../../runtime/cage/secret.ts";
import { CageError } from "../../../runtime/errors.ts";
import { http } from "../../../runtime/interfaces/http/http.ts";
import { Background } from "../../../runtime/request/background.ts";
import type { Services } from "../../../runtime/request/request.ts";
import { invoke } from "../../../runtime/rpc/api.ts";
import { startComet } from "../../kit/comet.ts";
import { createHost } from "../../kit/host.ts";

const refused = (code: string, message: string, fields: Record<string, string> = {}): Error =>
  Object.assign(new Error(message), { name: "Refused", code, details: { fields } });

interface Impact {
  readonly Accounts: AccountsClient;
  readonly Forum: ForumClient;
}

/** Impact as its contract says, in memory. */
export function memoryImpact(publish: (channel: string, type: string, data: unknown) => void) {
  const people = new Map<string, { person: Person; password: string }>();
  const sessions = new Map<string, Person>();
  const threads: { thread: Thread; posts: Post[] }[] = [];
  const votes = new Map<string, Map<string, number>>();
  const done = new Map<string, unknown>();
  const noticesOf = new Map<string, Notice[]>();
  let id = 0;
  let clock = Date.UTC(2026, 10, 21, 9, 0);
  const next = () => String(++id);
  const now = () => (clock += 60_000);
  const signedIn = (session: string): Person => {
    const person = sessions.get(session);
    if (person === undefined) throw refused("UNAUTHORIZED", "sign in first");
    return person;
  };
  const body = (text: string): string => {
    if (text.trim() === "") throw refused("BAD_INPUT", "write something", { body: "write something" });
    return text;
  };
  const once = <T>(person: Person, key: string, make: () => T): T => {
    const name = `${person.id}/${key}`;
    if (!done.has(name)) done.set(name, make());
    return done.get(name) as T;
  };
  const ratingOf = (item: string, viewer?: Person): Rating => {
    const all = [...(votes.get(item) ?? [])];
    const up = all.filter(([, value]) => value > 0).length;
    const down = all.filter(([, value]) => value < 0).length;
    return { item, up, down, ...(viewer ? { mine: votes.get(item)?.get(viewer.id) ?? 0 } : {}) };
  };
  const find = (thread: string) => {
    const found = threads.find((each) => each.thread.id === thread);
    if (found === undefined) throw refused("NOT_FOUND", `there is no thread ${thread}`);
    return found;
  };
  const enter = (person: Person) => {
    const token = `session-${next()}`;
    sessions.set(token, person);
    return { token, person, expires: Date.now() + 86_400_000 };
  };
  const write = (found: { thread: Thread; posts: Post[] }, author: Person, text: string): Post => {
    const post = { id: next(), thread: found.thread.id, author, body: text, at: now(), comments: [] };
    const whole = { ...post, rating: ratingOf(`post:${post.id}`) };
    found.posts.push(whole);
    found.thread = { ...found.thread, posts: found.posts.length, lastAt: post.at };
    publish(`thread:${found.thread.id}`, "post.added", whole);
    publish("front", "thread.changed", found.thread);
    return whole;
  };

  const impact: Impact = {
    Accounts: {
      async signUp(name, password) {
        if (people.has(name)) throw refused("CONFLICT", "this name is taken", { name: "this name is taken" });
        if (password.length < 8)
          throw refused("BAD_INPUT", "too short", { password: "a password has 8 to 200 characters" });
        const person = { id: next(), name };
        people.set(name, { person, password });
        return enter(person);
      },
      async signIn(name, password) {
        const known = people.get(name);
        if (known?.password !== password) throw refused("UNAUTHORIZED", "the name or the password is wrong");
        return enter(known.person);
      },
      signOut: async (session) => void sessions.delete(session),
      async viewer(session) {
        const person = signedIn(session);
        return { person, notices: (noticesOf.get(person.id) ?? []).filter((notice) => !notice.seen).length };
      },
      notices: async (session) => noticesOf.get(signedIn(session).id) ?? [],
      async noticesSeen(session) {
        const { id } = signedIn(session);
        noticesOf.set(
          id,
          (noticesOf.get(id) ?? []).map((notice) => ({ ...notice, seen: true })),
        );
      },
    },
    Forum: {
      async threads(limit, before) {
        const all = threads.map(({ thread }) => thread).sort((a, b) => b.lastAt - a.lastAt);
        const from = before === undefined ? 0 : all.findIndex((thread) => thread.id === before) + 1;
        return all.slice(from, from + limit);
      },
      async thread(session, thread, after) {
        const found = find(thread);
        const viewer = sessions.get(session);
        const from = after === undefined ? 0 : found.posts.findIndex((post) => post.id === after) + 1;
        const shown = found.posts.slice(from, from + 50);
        const posts = shown.map((post) => ({ ...post, rating: ratingOf(`post:${post.id}`, viewer) }));
        return { thread: found.thread, posts, next: from + 50 < found.posts.length ? shown.at(-1)?.id : undefined };
      },
      async start(session, title, text, key) {
        const author = signedIn(session);
        if (title.trim() === "") throw refused("BAD_INPUT", "a title", { title: "give it a title" });
        return once(author, key, () => {
          const found = { thread: { id: next(), title, author, at: now(), posts: 0, lastAt: 0 }, posts: [] };
          threads.push(found);
          write(found, author, body(text));
          return found.thread;
        });
      },
      async reply(session, thread, text, key) {
        const author = signedIn(session);
        const found = find(thread);
        return once(author, key, () => {
          const post = write(found, author, body(text));
          const owner = found.thread.author;
          if (owner.id !== author.id) {
            const notice = {
              id: next(),
              kind: "reply",
              thread,
              title: found.thread.title,
              by: author,
              at: post.at,
              seen: false,
            };
            noticesOf.set(owner.id, [notice, ...(noticesOf.get(owner.id) ?? [])]);
            publish(`person:${owner.id}`, "notice.added", notice);
          }
          return post;
        });
      },
      async comment(session, item, text, key) {
        const author = signedIn(session);
        return once(author, key, () => {
          const made: Comment = { id: next(), item, author, body: body(text), at: now() };
          const place = threads.find(({ posts }) => posts.some((post) => `post:${post.id}` === item));
          if (place === undefined) throw refused("NOT_FOUND", `there is no ${item}`);
          place.posts = place.posts.map((post) =>
            `post:${post.id}` === item ? { ...post, comments: [...post.comments, made] } : post,
          );
          publish(`thread:${place.thread.id}`, "comment.added", made);
          return made;
        });
      },
      async rate(session, item, value) {
        const person = signedIn(session);
        let own = votes.get(item);
        if (own === undefined) votes.set(item, (own = new Map()));
        own.set(person.id, value);
        const { up, down } = ratingOf(item);
        const place = threads.find(({ posts }) => posts.some((post) => `post:${post.id}` === item));
        publish(place ? `thread:${place.thread.id}` : item, "rating.changed", { item, up, down });
        return ratingOf(item, person);
      },
      async profile(session, name) {
        const known = people.get(name);
        if (known === undefined) throw refused("NOT_FOUND", `there is nobody named ${name}`);
        const { person } = known;
        const started = threads.map(({ thread }) => thread).filter((thread) => thread.author.id === person.id);
        return {
          person,
          since: Date.UTC(2026, 0, 2),
          rating: ratingOf(`profile:${person.id}`, sessions.get(session)),
          threads: started,
        };
      },
    },
  };
  return impact;
}

export interface Site {
  readonly url: string;
  readonly impact: Impact;
  /** Orbit answers; set to false to have it out of reach. */
  orbit: boolean;
  stop(): Promise<void>;
}

export async function openSite(): Promise<Site> {
  const state = mkdtempSync(join(tmpdir(), "surface-"));
  process.env["CAGE_STATE"] = state;
  keepSecretsIn(state);
  await (life as unknown as { start(): Promise<void> }).start();
  const events = await startComet(comet, { origins: ["http://127.0.0.1:*", "http://localhost:*"] });
  const impact = memoryImpact((channel, type, data) => void channels.publish([{ channel, type, data }]));
  const services: Services = {
    node: "test",
    cage: "surface",
    background: new Background(),
    async call(to, path, args) {
      if (!site.orbit || to.cage !== "orbit") throw new CageError("NO_SUCH_CAGE", `${to.cage} is not there`);
      return await invoke({ channels }, path, args);
    },
    retry: () => Promise.reject(new Error("nothing is retried here")),
    compute: async (work, args) => work(...(args as never[])),
  };
  const made = createHost(web, {
    services,
    resources: { impact },
    config: { orbit: { port: Number(new URL(events.url).port) } },
  });
  const server = http.create(http.options.parse({ port: 0 }), made.host);
  await server.start();
  const site: Site = {
    // localhost, as its session cookie is for secure origins, which this is by convention.
    url: `http://localhost:${new URL(server.url as string).port}`,
    impact,
    orbit: true,
    async stop() {
      await server.stop();
      await events.stop();
      made.close();
      rmSync(state, { recursive: true });
    },
  };
  return site;
}
