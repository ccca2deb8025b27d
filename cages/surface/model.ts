/** What Impact answers, as Surface sees it: the structs and services of impact/planet.thrift. */
export interface Person {
  readonly id: string;
  readonly name: string;
}

/** `item` is "post:ID" or "profile:ID"; `mine` the viewer's own vote. */
export interface Rating {
  readonly item: string;
  readonly up: number;
  readonly down: number;
  readonly mine?: number | undefined;
}

export interface Comment {
  readonly id: string;
  readonly item: string;
  readonly author: Person;
  readonly body: string;
  readonly at: number;
}

export interface Post {
  readonly id: string;
  readonly thread: string;
  readonly author: Person;
  readonly body: string;
  readonly at: number;
  readonly rating: Rating;
  readonly comments: readonly Comment[];
}

export interface Thread {
  readonly id: string;
  readonly title: string;
  readonly author: Person;
  readonly at: number;
  readonly posts: number;
  readonly lastAt: number;
}

export interface ThreadPage {
  readonly thread: Thread;
  readonly posts: readonly Post[];
  readonly next?: string | undefined;
}

export interface Profile {
  readonly person: Person;
  readonly since: number;
  readonly rating: Rating;
  readonly threads: readonly Thread[];
}

export interface Notice {
  readonly id: string;
  readonly kind: string;
  readonly thread: string;
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

export interface Viewer {
  readonly person: Person;
  readonly notices: number;
}

export interface Impact {
  readonly Accounts: {
    signUp(name: string, password: string): Promise<Session>;
    signIn(name: string, password: string): Promise<Session>;
    signOut(session: string): Promise<void>;
    viewer(session: string): Promise<Viewer>;
    notices(session: string): Promise<readonly Notice[]>;
    noticesSeen(session: string): Promise<void>;
  };
  readonly Forum: {
    threads(limit: number, before?: string): Promise<readonly Thread[]>;
    thread(session: string, id: string, after?: string): Promise<ThreadPage>;
    start(session: string, title: string, body: string, once: string): Promise<Thread>;
    reply(session: string, thread: string, body: string, once: string): Promise<Post>;
    comment(session: string, item: string, body: string, once: string): Promise<Comment>;
    rate(session: string, item: string, value: number): Promise<Rating>;
    profile(session: string, name: string): Promise<Profile>;
  };
}
