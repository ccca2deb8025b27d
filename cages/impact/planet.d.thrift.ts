// Made from planet.thrift by `npx tsx lib/thrift/declare.ts planet.thrift`; do not edit.

import type { Idl } from "#lib/thrift/typed.ts";

export type Id = string;

/** A refusal that a person can act on. `code` is stable; `fields` says what is wrong with which input. */
export interface Refused {
  readonly code: string;
  readonly message: string;
  readonly fields?: Readonly<Record<string, string>> | undefined;
}

export interface Person {
  readonly id: Id;
  readonly name: string;
}

/** What people think of an item; `item` is "post:ID" or "profile:ID". `mine` is the viewer's own: -1, 0 or 1. */
export interface Rating {
  readonly item: string;
  readonly up: number;
  readonly down: number;
  readonly mine?: number | undefined;
}

export interface Comment {
  readonly id: Id;
  readonly item: string;
  readonly author: Person;
  readonly body: string;
  readonly at: number;
}

export interface Post {
  readonly id: Id;
  readonly thread: Id;
  readonly author: Person;
  readonly body: string;
  readonly at: number;
  readonly rating: Rating;
  readonly comments: readonly Comment[];
}

export interface Thread {
  readonly id: Id;
  readonly title: string;
  readonly author: Person;
  readonly at: number;
  readonly posts: number;
  readonly lastAt: number;
}

export interface ThreadPage {
  readonly thread: Thread;
  readonly posts: readonly Post[];
  /** Where the next page begins; absent on the last. */
  readonly next?: Id | undefined;
}

export interface Profile {
  readonly person: Person;
  readonly since: number;
  readonly rating: Rating;
  readonly threads: readonly Thread[];
}

export interface Notice {
  readonly id: Id;
  readonly kind: string;
  readonly thread: Id;
  readonly title: string;
  readonly by: Person;
  readonly at: number;
  readonly seen: boolean;
}

export interface Session {
  readonly token: string;
  readonly person: Person;
  readonly expires: number;
}

/** What every page needs of its viewer, in one answer. */
export interface Viewer {
  readonly person: Person;
  readonly notices: number;
}

export interface AccountsClient {
  readonly signUp: (name: string, password: string) => Promise<Session>;
  readonly signIn: (name: string, password: string) => Promise<Session>;
  readonly signOut: (session: string) => Promise<void>;
  /** The person of a session; Refused with code UNAUTHORIZED when it is no session (any more). */
  readonly viewer: (session: string) => Promise<Viewer>;
  readonly notices: (session: string) => Promise<readonly Notice[]>;
  readonly noticesSeen: (session: string) => Promise<void>;
}

export interface AccountsHandler {
  readonly signUp: (name: string, password: string) => Session | Promise<Session>;
  readonly signIn: (name: string, password: string) => Session | Promise<Session>;
  readonly signOut: (session: string) => void | Promise<void>;
  /** The person of a session; Refused with code UNAUTHORIZED when it is no session (any more). */
  readonly viewer: (session: string) => Viewer | Promise<Viewer>;
  readonly notices: (session: string) => readonly Notice[] | Promise<readonly Notice[]>;
  readonly noticesSeen: (session: string) => void | Promise<void>;
}

export interface ForumClient {
  /** Newest activity first. `before` continues a list: "LASTAT.ID" of the last thread shown, as it was shown. */
  readonly threads: (limit: number, before?: string | undefined) => Promise<readonly Thread[]>;
  /** In order of writing, 50 posts a page; `after` is the `next` of the page before. Reading needs no session. */
  readonly thread: (session: string, id: Id, after?: Id | undefined) => Promise<ThreadPage>;
  readonly start: (session: string, title: string, body: string, once: string) => Promise<Thread>;
  readonly reply: (session: string, thread: Id, body: string, once: string) => Promise<Post>;
  readonly comment: (session: string, item: string, body: string, once: string) => Promise<Comment>;
  /** 1, -1, or 0 to take it back. */
  readonly rate: (session: string, item: string, value: number) => Promise<Rating>;
  /** By name, in any case. */
  readonly profile: (session: string, name: string) => Promise<Profile>;
}

export interface ForumHandler {
  /** Newest activity first. `before` continues a list: "LASTAT.ID" of the last thread shown, as it was shown. */
  readonly threads: (limit: number, before?: string | undefined) => readonly Thread[] | Promise<readonly Thread[]>;
  /** In order of writing, 50 posts a page; `after` is the `next` of the page before. Reading needs no session. */
  readonly thread: (session: string, id: Id, after?: Id | undefined) => ThreadPage | Promise<ThreadPage>;
  readonly start: (session: string, title: string, body: string, once: string) => Thread | Promise<Thread>;
  readonly reply: (session: string, thread: Id, body: string, once: string) => Post | Promise<Post>;
  readonly comment: (session: string, item: string, body: string, once: string) => Comment | Promise<Comment>;
  /** 1, -1, or 0 to take it back. */
  readonly rate: (session: string, item: string, value: number) => Rating | Promise<Rating>;
  /** By name, in any case. */
  readonly profile: (session: string, name: string) => Profile | Promise<Profile>;
}

declare const idl: Idl<{
  readonly Accounts: AccountsClient;
  readonly Forum: ForumClient;
}, object>;
export default idl;
