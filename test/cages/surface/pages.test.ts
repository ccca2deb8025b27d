import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CageError } from "../../../runtime/errors.ts";
import { openSite, type Site } from "./site.ts";

let site: Site;
beforeAll(async () => {
  site = await openSite();
});
afterAll(() => site?.stop());

const get = (path: string, headers: Record<string, string> = {}) =>
  fetch(site.url + path, { headers, redirect: "manual" });
const post = (path: string, fields: Record<string, string>, headers: Record<string, string> = {}) =>
  fetch(site.url + path, {
    method: "POST",
    body: new URLSearchParams(fields),
    headers: { ...("origin" in headers ? {} : { "sec-fetch-site": "same-origin" }), ...headers },
    redirect: "manual",
  });
const cookieOf = (response: Response) => response.headers.get("set-cookie")?.split(";")[0] ?? "";
let people = 0;
async function join(): Promise<{ cookie: string; name: string }> {
  const name = `Person${++people}`;
  return { name, cookie: cookieOf(await post("/sign-up", { name, password: "long enough" })) };
}
async function startThread(cookie: string, title = "A thread"): Promise<string> {
  const response = await post("/t", { title, body: "first\r\nline", once: `${Math.random()}` }, { cookie });
  return response.headers.get("location") as string;
}

test("the front page is complete HTML with a strict policy, and nothing in it may be cached between", async () => {
  const response = await get("/");
  const text = await response.text();
  expect(response.status).toBe(200);
  expect(response.headers.get("content-security-policy")).toMatch(
    /default-src 'none'; script-src 'self'.*require-trusted-types-for 'script'/,
  );
  expect(response.headers.get("cache-control")).toBe("private, no-store");
  expect(text).toMatch(/^<!doctype html><html lang="en"/);
  expect(text).toContain("Nobody has started a thread yet.");
  expect(text).toContain('"channels":{"front":{"token":');
});

test("every script and style that a page names is there, immutable; others are 404 and not kept", async () => {
  const text = await (await get("/")).text();
  const files = [...text.matchAll(/\/-\/a\/[\w.-]+/g)].map(([file]) => file);
  expect(files).toHaveLength(2);
  for (const file of files) {
    const response = await get(file, { "accept-encoding": "br" });
    expect([response.status, response.headers.get("content-encoding")]).toEqual([200, "br"]);
    expect(response.headers.get("cache-control")).toContain("immutable");
    expect((await get(file, { "if-none-match": response.headers.get("etag") as string })).status).toBe(304);
  }
  const missing = await get("/-/a/nothing-1.js");
  expect([missing.status, missing.headers.get("cache-control"), await missing.text()]).toEqual([
    404,
    "no-store",
    "no such file",
  ]);
});

describe("people", () => {
  test("join, are known on the next page, and leave", async () => {
    const joined = await post("/sign-up", { name: "Åsa", password: "long enough" });
    expect(joined.status).toBe(303);
    expect(joined.headers.get("set-cookie")).toMatch(
      /^__Host-planet=session-\d+\.[\w-]{43}; Path=\/; Expires=.*; HttpOnly; Secure; SameSite=Lax$/,
    );
    const cookie = cookieOf(joined);
    expect(await (await get("/", { cookie })).text()).toContain('href="/u/%C3%85sa">Åsa</a>');
    const left = await post("/sign-out", {}, { cookie });
    expect(left.headers.get("set-cookie")).toMatch(/^__Host-planet=; Max-Age=0/);
    const after = await get("/", { cookie });
    expect(await after.text()).toContain("Sign in");
    expect(after.headers.get("set-cookie")).toMatch(/Max-Age=0/);
  });

  test("are told what is wrong with what they wrote, and it is kept", async () => {
    const refused = await post("/sign-up", { name: 'B"o', password: "short" });
    expect(refused.status).toBe(422);
    const text = await refused.text();
    expect(text).toContain("a password has 8 to 200 characters");
    expect(text).toContain('value="B&quot;o"');
    const wrong = await post("/sign-in", { name: "nobody", password: "x" });
    expect([wrong.status, await wrong.text()]).toEqual([
      422,
      expect.stringContaining("the name or the password is wrong"),
    ]);
  });

  test("with a session that was made up are visitors, without asking Impact", async () => {
    const response = await get("/", { cookie: "__Host-planet=session-1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" });
    expect(await response.text()).toContain("Sign in");
    expect(response.headers.get("set-cookie")).toBeNull();
  });
});

describe("threads", () => {
  test("are started, replied to, commented and rated by plain forms", async () => {
    const { cookie, name } = await join();
    const path = await startThread(cookie, "Tea <or> coffee");
    const thread = path.slice(3);
    const replied = await post(`${path}/reply`, { body: "Tea.", once: "1" }, { cookie });
    expect(replied.status).toBe(303);
    const id = /#p(\d+)$/.exec(replied.headers.get("location") ?? "")?.[1];
    const referer = site.url + path;
    expect(
      (await post("/comment", { item: `post:${id}`, body: "Indeed", once: "2" }, { cookie, referer })).headers.get(
        "location",
      ),
    ).toBe(path);
    expect((await post("/rate", { item: `post:${id}`, value: "1" }, { cookie, referer })).headers.get("location")).toBe(
      path,
    );
    const text = await (await get(path, { cookie })).text();
    expect(text).toContain("<h1>Tea &lt;or&gt; coffee</h1>");
    expect(text).toContain("<p>first\nline</p>");
    expect(text).toContain("<p>Indeed</p>");
    expect(text).toMatch(/class="score liked[^>]*>1 point</);
    expect(text).toContain('aria-pressed="true"');
    expect(text).toContain(`"thread:${thread}":{"token":`);
    expect(await (await get("/")).text()).toContain(`<a class="title" href="${path}">Tea &lt;or&gt; coffee</a>`);
    expect(await (await get(`/u/${name}`)).text()).toContain("Tea &lt;or&gt; coffee");
  });

  test("the same act sent twice is done once", async () => {
    const { cookie } = await join();
    const path = await startThread(cookie);
    for (const _ of [1, 2]) await post(`${path}/reply`, { body: "Twice?", once: "same" }, { cookie });
    expect((await (await get(path)).text()).match(/Twice\?/g)).toHaveLength(1);
  });

  test("a form that was refused is shown again with what is wrong and what was written", async () => {
    const { cookie } = await join();
    const path = await startThread(cookie);
    const response = await post(`${path}/reply`, { body: "   ", once: "x" }, { cookie });
    expect([response.status, await response.text()]).toEqual([422, expect.stringContaining("write something")]);
  });

  test("of many posts have pages", async () => {
    const { cookie } = await join();
    const path = await startThread(cookie);
    for (let n = 0; n < 50; n++) await post(`${path}/reply`, { body: `reply ${n}`, once: `${n}` }, { cookie });
    const text = await (await get(path, { cookie })).text();
    const next = /href="(\/t\/\d+\?after=\d+)"/.exec(text)?.[1] as string;
    expect(text).not.toContain("reply 49");
    expect(text).not.toContain("Your reply");
    expect(await (await get(next, { cookie })).text()).toMatch(/reply 49[\s\S]*Your reply/);
  });

  test("visitors are shown the way in and sent there", async () => {
    const { cookie } = await join();
    const path = await startThread(cookie);
    expect(await (await get(path)).text()).toContain('<a href="/sign-in">Sign in</a>');
    expect((await post(`${path}/reply`, { body: "x" })).headers.get("location")).toBe("/sign-in");
    expect((await get("/notices")).headers.get("location")).toBe("/sign-in");
  });
});

describe("the script of a page", () => {
  const accept = "application/vnd.surface+json";

  test("is answered by frames", async () => {
    const { cookie } = await join();
    const path = await startThread(cookie);
    const response = await post(`${path}/reply`, { body: "hello" }, { cookie, accept, "idempotency-key": "k" });
    expect(response.headers.get("content-type")).toBe(accept);
    const answer = (await response.json()) as { frames: { s: string; op?: string; p: unknown }[]; reset: boolean };
    expect(answer.reset).toBe(true);
    expect(answer.frames).toMatchObject([
      { s: `forum/thread:${path.slice(3)}`, l: "posts", op: "add", c: "forum/post", p: { body: "hello" } },
      { s: `forum/reply:${path.slice(3)}` },
    ]);
    const refused = await post(`${path}/reply`, { body: "" }, { cookie, accept });
    expect([refused.status, await refused.json()]).toMatchObject([
      422,
      { frames: [{ p: { error: "write something" } }] },
    ]);
    expect(await (await post("/sign-in", { name: "x", password: "y" }, { accept })).json()).toMatchObject({
      frames: [{ s: "people/sign:in" }],
    });
    expect(await (await post("/rate", { item: "x" }, { accept })).json()).toEqual({ to: "/sign-in" });
  });

  test("has the data of every page", async () => {
    const { cookie } = await join();
    const path = await startThread(cookie);
    const response = await get(`/-/data${path}`, { cookie, accept });
    expect(await response.json()).toMatchObject({
      cx: { locale: "en", viewer: { name: expect.any(String) } },
      frames: [
        { s: `forum/thread:${path.slice(3)}`, p: { thread: { title: "A thread" } } },
        { s: expect.stringMatching(/^site\/header:/) },
      ],
      channels: { [`thread:${path.slice(3)}`]: { position: expect.any(String) } },
    });
  });
});

describe("a form from another site is refused", () => {
  const tries: [string, Record<string, string>][] = [
    ["cross-site", { "sec-fetch-site": "cross-site" }],
    ["same-site is another origin", { "sec-fetch-site": "same-site" }],
    ["another origin, from an old browser", { origin: "https://evil.example" }],
    ["an origin that is none", { origin: "null" }],
  ];
  for (const [name, headers] of tries) {
    test(name, async () => {
      const response = await post("/sign-out", {}, headers);
      expect(response.status).toBe(403);
      expect(await response.text()).toContain("sent from another site");
    });
  }
});

test("a form from here is taken from a browser that only knows Origin", async () => {
  expect((await post("/sign-out", {}, { origin: site.url })).status).toBe(303);
});

describe("what goes wrong is a page", () => {
  test("for an address of nothing, and of no thread", async () => {
    for (const path of ["/nowhere", "/t/99999", "/u/nobody"]) {
      const response = await get(path);
      expect(response.status).toBe(404);
      expect(await response.text()).toContain("There is nothing here");
    }
  });

  test("that still knows who looks at it", async () => {
    const { cookie, name } = await join();
    expect(await (await get("/nowhere", { cookie })).text()).toContain(`>${name}</a>`);
  });

  test("and Impact too busy to answer is no fault of whoever asked: 503, and when to come again", async () => {
    const { Forum } = site.impact;
    const { threads } = Forum;
    const busy = new CageError("OVERLOADED", "there is too much to do", { details: { retryAfterMs: 2_500 } });
    Object.assign(Forum, { threads: () => Promise.reject(Object.assign(busy, { name: "Refused" })) });
    const response = await get("/");
    Object.assign(Forum, { threads });
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "3"]);
  });

  test("and Orbit out of reach only means that nothing moves", async () => {
    site.orbit = false;
    const response = await get("/");
    site.orbit = true;
    expect(response.status).toBe(200);
    const text = await response.text();
    expect(text).toContain('"channels":{}');
    expect(text).not.toContain('"orbit"');
  });
});

test("pages are in the language that is asked for", async () => {
  const response = await get("/", { "accept-language": "sv-SE,sv;q=0.9" });
  expect(await response.text()).toMatch(/<html lang="sv"[\s\S]*<h1>Trådar<\/h1>/);
});
