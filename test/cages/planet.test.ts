/** Impact and Core together, as Surface's door sees them: accounts, forum, notices, and what is told to Orbit. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as coreApi from "../../cages/core/api.ts";
import * as accounts from "../../cages/impact/accounts.ts";
import * as impactApi from "../../cages/impact/api.ts";
import * as forum from "../../cages/impact/forum.ts";
import { CageError } from "../../runtime/errors.ts";
import { type TestCage, testCage } from "../../runtime/testing.ts";
import { eventually } from "../kit/project.ts";

interface Told {
  readonly key: string;
  readonly channel: string;
  readonly type: string;
  readonly data: Record<string, unknown>;
}

const told: Told[] = [];
let core: TestCage;
let impact: TestCage;
let ann: accounts.Session;
let bob: accounts.Session;

/** As Orbit's: all or none. */
const publish = (entries: Told[]): void => {
  if (entries.some(({ data }) => data["body"] === "poison")) throw new CageError("TOO_LARGE", "an event is too large");
  told.push(...entries);
};
/** Eleven password hashes on a busy machine take a while: the deadline is not what is tested here. */
const door = <T>(fn: () => Promise<T>): Promise<T> => impact.run(fn, { timeoutMs: 60_000 });
const on = (channel: string, type: string) => told.filter((each) => each.channel === channel && each.type === type);
const refused = (work: Promise<unknown>) => expect(work).rejects;

beforeAll(async () => {
  core = await testCage("core", { interfaces: ["events", "listing"], cages: { orbit: { channels: { publish } } } });
  impact = await testCage("impact", { interfaces: ["events"], beside: core });
  ann = await door(() => accounts.signUp("Ann", "correct horse"));
  bob = await door(() => accounts.signUp("Bób_1", "battery staple"));
});
afterAll(async () => {
  await impact.close();
  await core.close();
});

describe("accounts", () => {
  it("know a person by their session, until they sign out", async () => {
    const again = await door(() => accounts.signIn(" ANN", "correct horse"));
    expect(again.person).toEqual(ann.person);
    expect(await door(() => accounts.viewer(again.token))).toMatchObject({ person: ann.person });
    await door(() => accounts.signOut(again.token));
    await refused(door(() => accounts.viewer(again.token))).toMatchObject({ code: "UNAUTHORIZED" });
    expect(await door(() => accounts.viewer(ann.token))).toMatchObject({ person: ann.person });
  });

  it("take a name once, whatever its case, also when two sign up at the same moment", async () => {
    await refused(door(() => accounts.signUp("aNN", "12345678"))).toMatchObject({
      code: "CONFLICT",
      details: { name: expect.any(String) },
    });
    const both = await Promise.allSettled([1, 2].map(() => door(() => accounts.signUp("Zoë", "12345678"))));
    expect(both.map((each) => each.status).sort()).toEqual(["fulfilled", "rejected"]);
  });

  it("refuse names and passwords that do not fit, and say which field", async () => {
    for (const name of ["", "x", "a b", "-ann", "x".repeat(31), "a\u0000b", "ann:1"])
      await refused(door(() => accounts.signUp(name, "12345678"))).toMatchObject({
        code: "BAD_INPUT",
        details: { name: expect.any(String) },
      });
    for (const password of ["", "1234567", "x".repeat(201)])
      await refused(door(() => accounts.signUp("carol", password))).toMatchObject({
        details: { password: expect.any(String) },
      });
  });

  it("say the same for a wrong password and for nobody, and stop guessing after ten tries", async () => {
    const wrong = { code: "UNAUTHORIZED", message: "the name or the password is wrong" };
    await refused(door(() => accounts.signIn("nobody", "12345678"))).toMatchObject(wrong);
    const tries = [];
    for (let n = 0; n < 11; n++)
      tries.push(door(() => accounts.signIn("Bób_1", "guess")).catch((error) => error.code as string));
    const codes = (await Promise.all(tries)).sort();
    expect(codes).toEqual(["TOO_MANY", ...Array<string>(10).fill("UNAUTHORIZED")]);
    await refused(door(() => accounts.signIn("bób_1", "battery staple"))).toMatchObject({ code: "TOO_MANY" });
  });

  it("take no forged session", async () => {
    for (const token of [
      "",
      "x",
      `${ann.person.id}.${"A".repeat(43)}`,
      ann.token.replace(ann.person.id, bob.person.id),
      `${ann.token}A`,
    ])
      await refused(door(() => accounts.viewer(token))).toMatchObject({ code: "UNAUTHORIZED" });
  });
});

describe("the forum", () => {
  it("shows a whole page in one answer: posts in order, ratings with the viewer's own, comments", async () => {
    const thread = await door(() => forum.start(ann.token, "  Title\u0065\u0301 ", "first", "s1"));
    expect(thread).toMatchObject({ title: "Titleé", author: ann.person, posts: 1 });
    const post = await door(() => forum.reply(bob.token, thread.id, "second\r\nline", "r1"));
    expect(post).toMatchObject({
      body: "second\nline",
      thread: thread.id,
      comments: [],
      rating: { item: `post:${post.id}`, up: 0, down: 0 },
    });
    await door(() => forum.rate(ann.token, `post:${post.id}`, 1));
    const comment = await door(() => forum.comment(ann.token, `post:${post.id}`, "hm", "c1"));
    const page = await door(() => forum.thread(ann.token, thread.id));
    expect(page.next).toBeUndefined();
    expect(page.thread).toMatchObject({ posts: 2, lastAt: post.at });
    expect(page.posts.map((each) => each.body)).toEqual(["first", "second\nline"]);
    expect(page.posts[1]).toEqual({
      ...post,
      rating: { item: `post:${post.id}`, up: 1, down: 0, mine: 1 },
      comments: [comment],
    });
    const visitor = await door(() => forum.thread("", thread.id));
    expect(visitor.posts[1]?.rating).toEqual({ item: `post:${post.id}`, up: 1, down: 0 });
  });

  it("tells the thread's channel of each change once, in order, and the front of the thread", async () => {
    const thread = await door(() => forum.start(ann.token, "Told", "first", "s2"));
    const channel = `thread:${thread.id}`;
    const post = await door(() => forum.reply(ann.token, thread.id, "second", "r2"));
    const item = `post:${post.id}`;
    await door(() => forum.rate(bob.token, item, 1));
    await door(() => forum.rate(bob.token, item, 1));
    await door(() => forum.rate(bob.token, item, -1));
    const comment = await door(() => forum.comment(bob.token, item, "hm", "c2"));
    await eventually("five events", () => told.filter((each) => each.channel === channel).length >= 4);
    expect(told.filter((each) => each.channel === channel).map(({ type, data }) => ({ type, data }))).toEqual([
      { type: "post.added", data: post },
      { type: "rating.changed", data: { item, up: 1, down: 0 } },
      { type: "rating.changed", data: { item, up: 0, down: 1 } },
      { type: "comment.added", data: comment },
    ]);
    await eventually("the front", () =>
      on("front", "thread.changed").some(({ data }) => data["id"] === thread.id && data["posts"] === 2),
    );
    expect(new Set(told.map((each) => each.key)).size).toBe(told.length);
  });

  it("shows the newest fifty comments of a post, oldest first", async () => {
    const thread = await door(() => forum.start(ann.token, "Talk", "first", "s8"));
    const item = `post:${(await door(() => forum.thread("", thread.id))).posts[0]?.id}`;
    for (let n = 0; n < 53; n++) await door(() => forum.comment(ann.token, item, `comment ${n}`, `talk-${n}`));
    const [post] = (await door(() => forum.thread("", thread.id))).posts;
    expect(post?.comments.map((each) => each.body)).toEqual(Array.from({ length: 50 }, (_, n) => `comment ${n + 3}`));
  });

  it("leaves out an event that Orbit never takes, and tells those behind it", async () => {
    const thread = await door(() => forum.start(ann.token, "Poison", "first", "s7"));
    for (const body of ["one", "poison", "two"])
      await door(() => forum.reply(ann.token, thread.id, body, `poison-${body}`));
    const last = () => on(`thread:${thread.id}`, "post.added").map(({ data }) => data["body"]);
    await eventually("the last one", () => last().includes("two"));
    expect(last()).toEqual(["one", "two"]);
  });

  it("does an act once, however often and however much at once it is sent", async () => {
    const threads = await Promise.all([1, 2, 3].map(() => door(() => forum.start(ann.token, "Once", "first", "s3"))));
    expect(new Set(threads.map((each) => each.id)).size).toBe(1);
    const id = (threads[0] as { id: string }).id;
    const posts = await Promise.all([1, 2, 3].map(() => door(() => forum.reply(bob.token, id, "once", "r3"))));
    expect(new Set(posts.map((each) => each.id)).size).toBe(1);
    const item = `post:${(posts[0] as { id: string }).id}`;
    await Promise.all([1, 2, 3].map(() => door(() => forum.comment(bob.token, item, "once", "c3"))));
    await Promise.all([1, 2, 3].map(() => door(() => forum.rate(bob.token, item, 1))));
    const page = await door(() => forum.thread("", id));
    expect(page.thread.posts).toBe(2);
    expect(page.posts[1]).toMatchObject({ rating: { up: 1, down: 0 }, comments: [{ body: "once" }] });
    expect(page.posts[1]?.comments).toHaveLength(1);
    // The same name of an act, by somebody else, is another act.
    expect((await door(() => forum.reply(ann.token, id, "mine", "r3"))).body).toBe("mine");
  });

  it("pages through a thread that grows meanwhile: no post twice, none missing", async () => {
    const thread = await door(() => forum.start(ann.token, "Long", "post 0", "s4"));
    for (let n = 1; n < 120; n++) await door(() => forum.reply(ann.token, thread.id, `post ${n}`, `long-${n}`));
    const bodies: string[] = [];
    for (let after: string | undefined, turn = 0; ; turn++) {
      const page = await door(() => forum.thread("", thread.id, after));
      expect(page.posts.length).toBeLessThanOrEqual(50);
      bodies.push(...page.posts.map((each) => each.body));
      if (turn < 3) await door(() => forum.reply(bob.token, thread.id, `late ${turn}`, `late-${turn}`));
      if (page.next === undefined) break;
      after = page.next;
    }
    expect(bodies.slice(0, 120)).toEqual(Array.from({ length: 120 }, (_, n) => `post ${n}`));
    expect(new Set(bodies).size).toBe(bodies.length);
  });

  it("lists threads by newest activity, and goes on where a page ended although threads move to the top", async () => {
    const made: string[] = [];
    for (let n = 0; n < 6; n++)
      made.push((await door(() => forum.start(ann.token, `Listed ${n}`, "x", `list-${n}`))).id);
    const top = await eventually("the list", async () => {
      const rows = await door(() => forum.threads(3));
      return rows[0]?.id === made[5] && rows;
    });
    expect(top.map((each) => each.id)).toEqual([made[5], made[4], made[3]]);
    await door(() => forum.reply(bob.token, made[4] as string, "up again", "up"));
    await eventually("the move", async () => (await door(() => forum.threads(1)))[0]?.id === made[4]);
    const last = top[2] as { id: string; lastAt: number };
    const more = await door(() => forum.threads(3, `${last.lastAt}.${last.id}`));
    expect(more.map((each) => each.id)).toEqual([made[2], made[1], made[0]]);
    expect(await door(() => forum.threads(3, last.id))).toEqual(more);
  });

  it("refuses what it cannot do with a code and the field, and stores nothing of it", async () => {
    const thread = await door(() => forum.start(ann.token, "Bad", "first", "s5"));
    const bad = async (work: () => Promise<unknown>, code: string, field?: string) => {
      const error = await door(work).catch((error) => error as { code: string; details?: Record<string, string> });
      expect(error).toMatchObject({ code });
      if (field) expect(error).toMatchObject({ details: { [field]: expect.any(String) } });
    };
    await bad(() => forum.start("", "t", "b", "k"), "UNAUTHORIZED");
    await bad(() => forum.start(ann.token, " ", "b", "k"), "BAD_INPUT", "title");
    await bad(() => forum.start(ann.token, "x".repeat(141), "b", "k"), "BAD_INPUT", "title");
    await bad(() => forum.start(ann.token, "a\nb", "b", "k"), "BAD_INPUT", "title");
    await bad(() => forum.start(ann.token, "t", "a\u0000b", "k"), "BAD_INPUT", "body");
    await bad(() => forum.start(ann.token, "t", "b", ""), "BAD_INPUT", "once");
    await bad(() => forum.reply(ann.token, thread.id, "x".repeat(10_001), "k"), "BAD_INPUT", "body");
    await bad(() => forum.reply(ann.token, "nonsense", "b", "k"), "BAD_INPUT", "thread");
    await bad(() => forum.reply(ann.token, ann.person.id, "b", "k"), "NOT_FOUND");
    await bad(() => forum.thread("", ann.person.id), "NOT_FOUND");
    await bad(() => forum.rate(ann.token, `thread:${thread.id}`, 1), "BAD_INPUT", "item");
    await bad(() => forum.rate(ann.token, `post:${thread.id}`, 2), "BAD_INPUT", "value");
    await bad(() => forum.comment(ann.token, `post:${thread.id}`, "", "k"), "BAD_INPUT", "body");
    await bad(() => forum.threads(10, "x"), "BAD_INPUT", "before");
    await bad(() => forum.profile("", "no such body"), "NOT_FOUND");
    // 140 and 10,000 characters are characters, not halves of them.
    const wide = await door(() => forum.start(ann.token, "𝒳".repeat(140), "語".repeat(10_000), "k"));
    expect((await door(() => forum.thread("", wide.id))).posts[0]?.body).toHaveLength(10_000);
    expect((await door(() => forum.thread("", thread.id))).thread.posts).toBe(1);
  });

  it("shows a profile with its rating and threads, and tells its channel", async () => {
    const item = `profile:${ann.person.id}`;
    await eventually("Core knows Ann", () => door(() => forum.rate(bob.token, item, 1)));
    const page = await eventually("her threads", async () => {
      const page = await door(() => forum.profile(bob.token, "ANN"));
      return page.threads.length > 0 && page;
    });
    expect(page).toMatchObject({
      person: ann.person,
      since: expect.any(Number),
      rating: { item, up: 1, down: 0, mine: 1 },
    });
    await eventually("the event", () => on(item, "rating.changed").length === 1);
  });
});

describe("notices", () => {
  it("reach the thread's author once, also when Impact was down; not for one's own reply", async () => {
    const thread = await door(() => forum.start(ann.token, "Notice", "first", "s6"));
    const before = (await door(() => accounts.notices(ann.token))).length;
    await door(() => forum.reply(ann.token, thread.id, "own", "n0"));
    impact.down();
    await core.run(() => coreApi.threads.reply({ author: bob.person, thread: thread.id, body: "hello", once: "n1" }));
    await impact.up();
    const notices = await eventually("the notice", async () => {
      const rows = await door(() => accounts.notices(ann.token));
      return rows.length > before && rows;
    });
    expect(notices.filter((each) => each.thread === thread.id)).toMatchObject([
      { kind: "reply", title: "Notice", by: bob.person, seen: false },
    ]);
    await eventually("the page hears of it", () =>
      on(`person:${ann.person.id}`, "notice.added").some(({ data }) => data["thread"] === thread.id),
    );
    expect((await door(() => accounts.viewer(ann.token))).notices).toBeGreaterThan(0);
    await door(() => accounts.noticesSeen(ann.token));
    expect((await door(() => accounts.viewer(ann.token))).notices).toBe(0);
  });

  it("are one however often the retried call is delivered", async () => {
    const notice = { to: bob.person.id, kind: "reply", thread: "t", title: "x", by: ann.person, at: 1 };
    const before = (await door(() => accounts.notices(bob.token))).length;
    for (let attempt = 1; attempt < 4; attempt++)
      await impact.run(() => impactApi.notices.add(notice), { retry: { id: "notice:x", attempt } });
    expect((await door(() => accounts.notices(bob.token))).length).toBe(before + 1);
  });
});
