/** Planet's data under the supervisor: Core and Impact as they are, killed and edited while people write. */
import { appendFileSync, cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createProject, eventually, home, type Project } from "../kit/project.ts";

let project: Project;

const call = async <T>(...args: unknown[]): Promise<T> => {
  const [path, ...rest] = args as [string, ...unknown[]];
  const [cage, ...name] = path.split(".");
  return JSON.parse(
    await project.ok(
      "call",
      cage as string,
      name.join("."),
      ...rest.map((arg) => JSON.stringify(arg)),
      "--timeout",
      "60000",
    ),
  ) as T;
};
const worker = async (cage: string) => {
  const rows = JSON.parse(await project.ok("list", "--json")) as {
    cage: string;
    pid: number;
    state: string;
    restarts: number;
    worker?: { generation: number; broken: { message: string } | null };
  }[];
  return rows.find((row) => row.cage === cage);
};

/** Writes as a browser would: the same act again, by its once, until it is known to be done. */
const crowd = `import { cage, CageError } from "#runtime";
import type * as Core from "../core/api.ts";
const core = cage<typeof Core>("core", { timeoutMs: 2_000 });
const again = async (work) => {
  for (;;) try { return await work(); } catch (error) {
    if (!["UNAVAILABLE", "UNKNOWN_OUTCOME", "NO_SUCH_CAGE", "EXPIRED", "OVERLOADED"].includes(error.code)) throw error;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
export const write = async (author, thread, from, count) => {
  for (let n = from; n < from + count; n++) {
    const post = await again(() => core.threads.reply({ author, thread, body: "post " + n, once: "w" + n }));
    await again(() => core.tools.rate({ item: "post:" + post.id, actor: author, value: 1 }));
  }
  return count;
};
`;

beforeAll(async () => {
  project = createProject({
    "cages/crowd/api.ts": crowd,
    "config/crowd.ts": `import { defineCage } from "#runtime";\nexport const config = defineCage({ timeoutMs: 60_000 });\n`,
    "cages/orbit/api.ts": `const told: unknown[] = [];\nexport const channels = { publish: (entries: unknown[]) => void told.push(...entries) };\nexport const all = () => told;\n`,
    // The door is left out: this test comes in by calls.
    "config/impact.ts": `import { defineCage } from "#runtime";
import { migrations } from "../cages/impact/schema.ts";
export const config = defineCage({
  interfaces: { events: { protocol: "outbox", resource: "accounts", kind: "event" } },
  resources: { accounts: { protocol: "partitions", partitions: 4, migrations } },
});
`,
  });
  for (const path of ["cages/core", "cages/impact", "cages/.shared", "config/core.ts"])
    cpSync(join(home, path), join(project.root, path), { recursive: true });
  rmSync(join(project.root, "cages/impact/door.ts"));
  appendFileSync(join(project.root, "cages/impact/api.ts"), `export * as accounts from "./accounts.ts";\n`);
  await project.ok("start");
});
afterAll(() => project.remove());

interface Session {
  token: string;
  person: { id: string; name: string };
}
interface Page {
  thread: { posts: number };
  posts: { id: string; body: string; rating: { up: number } }[];
  next?: string;
}

it("loses and repeats nothing of what was written while core and impact are killed again and again", async () => {
  const ann = await call<Session>("impact.accounts.signUp", "ann", "12345678");
  const bob = await call<Session>("impact.accounts.signUp", "bob", "12345678");
  const thread = await call<{ id: string }>("core.threads.start", {
    author: ann.person,
    title: "t",
    body: "first",
    once: "s",
  });
  const count = 60;
  const writing = Promise.all([0, 1].map((half) => call("crowd.write", bob.person, thread.id, half * count, count)));
  let done = false;
  void writing.finally(() => (done = true)).catch(() => {});
  let kills = 0;
  for (let round = 0; round < 3 && !done; round++)
    for (const cage of ["core", "impact"]) {
      const before = await eventually(`${cage} runs`, async () => {
        const row = await worker(cage);
        return row?.state === "ready" && row;
      });
      process.kill(before.pid, "SIGKILL");
      kills++;
    }
  await writing;
  expect(kills).toBeGreaterThan(2);

  const posts: Page["posts"] = [];
  for (let after: string | undefined; ; ) {
    const page = await call<Page>("core.threads.page", { id: thread.id, ...(after ? { after } : {}) });
    posts.push(...page.posts);
    expect(page.thread.posts).toBe(2 * count + 1);
    if (page.next === undefined) break;
    after = page.next;
  }
  const bodies = posts.slice(1).map((post) => post.body);
  expect([...bodies].sort()).toEqual(Array.from({ length: 2 * count }, (_, n) => `post ${n}`).sort());
  expect(posts.slice(1).every((post) => post.rating.up === 1)).toBe(true);

  // Each post is told at least once, for the first time in the order of writing; each notice is there exactly once.
  const told = await eventually("the last event", async () => {
    const all = await call<{ channel: string; type: string; data: { id: string } }[]>("orbit.all");
    const ids = [...new Set(all.filter((each) => each.type === "post.added").map((each) => each.data.id))];
    return ids.length === 2 * count && ids;
  });
  expect(told).toEqual(posts.slice(1).map((post) => post.id));
  await eventually(
    "all notices",
    async () => (await call<{ notices: number }>("impact.accounts.viewer", ann.token)).notices >= 2 * count,
    20_000,
  );
  expect(await call("impact.accounts.viewer", ann.token)).toMatchObject({ notices: 2 * count });
}, 60_000);

it("takes a new migration with a save; one that fails is refused, and the old generation goes on", async () => {
  const generation = async () => (await worker("core"))?.worker;
  const before = (await generation())?.generation ?? 0;
  const save = (...sql: string[]) => {
    const list = JSON.stringify(sql.map((sql, n) => ({ name: `extra/${n}`, sql })));
    project.write({ "cages/core/extra.ts": `export const extra = ${list};\n` });
  };
  const good = "create table extra (id text primary key, bucket integer not null) strict";
  save(good);
  const community = join(project.root, "cages/core/community.ts");
  appendFileSync(
    community,
    `import { extra } from "./extra.ts";\n(migrations as unknown as unknown[]).push(...extra);\n`,
  );
  await eventually("the migrated generation", async () => ((await generation())?.generation ?? 0) > before);
  save(good, "create tabel oops");
  const broken = await eventually("the refusal", async () => (await generation())?.broken);
  expect(broken?.message).toMatch(/migration extra\/1 failed .* near "tabel"/);
  expect(await call("core.threads.list", { limit: 1 })).toHaveLength(1);
});
