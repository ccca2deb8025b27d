/**
 * Three nodes on hosts of their own (network namespaces), joined over NATS, while links are cut and healed and the NATS
 * server goes and comes. East calls the till, which runs on west and north, and the clerk beside it, all the time; every
 * call has a number, the till writes down which it did, and east what became of each.
 */
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { createNetwork, type Network } from "../kit/namespaces.ts";
import { type NatsServer, natsServer } from "../kit/nats.ts";
import { needing } from "../kit/needs.ts";
import { createProject, eventually, type Project } from "../kit/project.ts";

const { describe, it } = needing("nats", "namespaces");
/** Of a call, answered or not, whatever happens. */
const patienceMs = 2_000;
/** What was not begun. Whoever is back before the others sees none of them for a moment: NO_SUCH_CAGE. */
const refusals: readonly string[] = ["UNAVAILABLE", "NO_SUCH_CAGE"];

/** What became of a call. */
interface Called {
  /** again: of the till too, but marked idempotent. */
  readonly to: "till" | "again" | "clerk";
  readonly id: number;
  /** The node, or the error's code. */
  readonly answer: string;
  readonly at: number;
  readonly tookMs: number;
}

const shop = `import { appendFileSync } from "node:fs";
import { background, cage } from "#runtime";
import type * as Till from "../till/api.ts";
import type * as Clerk from "../clerk/api.ts";
const asked = {
  till: (id: number) => cage<typeof Till>("till", { timeoutMs: 10_000 }).charge(id),
  again: (id: number) => cage<typeof Till>("till", { timeoutMs: 10_000 }).chargeOnce(id),
  clerk: (id: number) => cage<typeof Clerk>("clerk", { timeoutMs: 10_000 }).charge(id),
};
let ids = 0;
let going = true;
let lanes: Promise<unknown> = Promise.resolve();
const lane = async (to: keyof typeof asked) => {
  while (going) {
    const [id, at, startedAt] = [++ids, Date.now(), performance.now()];
    const answer = await asked[to](id).catch((error: { code: string }) => error.code);
    appendFileSync(process.env["CALLED"] as string, JSON.stringify({ to, id, answer, at, tookMs: performance.now() - startedAt }) + "\\n");
    await new Promise((next) => setTimeout(next, 10));
  }
};
export const begin = () =>
  background(() => (lanes = Promise.all([...Array.from({ length: 8 }, () => lane("till")), lane("again"), lane("clerk")])), { timeoutMs: 300_000 });
/** How many calls were begun; all of them have ended. */
export const end = async () => {
  going = false;
  await lanes;
  return ids;
};
export const everywhere = async () => {
  const answers = await cage<typeof Till>("till", { via: "all" }).here();
  return answers.filter(({ ok }) => ok).map(({ node }) => node).sort();
};
`;

const till = `import { appendFileSync } from "node:fs";
import { fn } from "#runtime";
export const here = () => process.env["CAGE_NODE"] as string;
export const charge = (id: number) => {
  appendFileSync(process.env["CHARGED"] as string, id + "\\n");
  return here();
};
export const chargeOnce = fn({ idempotent: true }, async (id: number) => charge(id));
`;

describe("three nodes on hosts of their own", () => {
  let network: Network<"east" | "west" | "north">;
  let server: NatsServer;
  let nodes: Record<"east" | "west" | "north", Project>;
  let folder: string;
  let called: string;
  let charged: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "partition-"));
    [called, charged] = [join(folder, "called"), join(folder, "charged")];
    for (const file of [called, charged]) writeFileSync(file, "");
    network = createNetwork("east", "west", "north");
    server = await natsServer({ within: network.hub });
    const files = {
      "config/cluster.ts": `import { defineCage } from "#runtime";
export const config = defineCage({ typecheck: "off", engine: { kind: "nats", servers: ["${server.address}"] } });
`,
      "cages/shop/api.ts": shop,
      "cages/till/api.ts": till,
      "cages/clerk/api.ts": till,
    };
    const nodeOf = (name: "east" | "west" | "north"): Project =>
      createProject(files, { CAGE_NODE: name, CALLED: called, CHARGED: charged }, network.host(name).exec);
    nodes = { east: nodeOf("east"), west: nodeOf("west"), north: nodeOf("north") };
    await Promise.all([
      nodes.east.ok("start", "shop", "clerk"),
      nodes.west.ok("start", "till"),
      nodes.north.ok("start", "till"),
    ]);
    await eventually("both tills are known", async () => (await everywhere()).length === 2);
    await nodes.east.ok("call", "shop", "begin");
    await answeredSince(0, "west", "north", "east");
  }, 120_000);
  afterAll(async () => {
    await Promise.all(Object.values(nodes ?? {}).map((node) => node.remove()));
    await server?.stop();
    network?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const everywhere = async (): Promise<string[]> => JSON.parse(await nodes.east.ok("call", "shop", "everywhere"));
  const linesOf = (file: string): string[] => readFileSync(file, "utf8").split("\n").slice(0, -1);
  const calls = (): Called[] => linesOf(called).map((line) => JSON.parse(line));
  /** Calls to the till that began at `from` or later, and before `until`. */
  const between = (from: number, until = Number.POSITIVE_INFINITY, to: Called["to"] = "till"): Called[] =>
    calls().filter((call) => call.to === to && call.at >= from && call.at < until);
  /** Until there were calls, begun after a moment, that each of these nodes answered. */
  const answeredSince = (at: number, ...names: string[]): Promise<unknown> =>
    eventually(`answers of ${names}`, () => {
      const answers = new Set(
        calls()
          .filter((call) => call.at >= at)
          .map(({ answer }) => answer),
      );
      return names.every((name) => answers.has(name));
    });
  /** Until calls that began so late were ended, and some more. */
  const passed = (at: number): Promise<unknown> =>
    eventually("calls go on", () => between(at).length > 50 && between(at, undefined, "clerk").length > 10);
  /** Whatever it was: no call was stuck, none failed otherwise than it should, and the clerk's all went on. */
  const expectNoneStuck = (from: number): void => {
    const all = calls().filter(({ at }) => at >= from - patienceMs);
    expect(Math.max(...all.map(({ tookMs }) => tookMs))).toBeLessThan(patienceMs);
    expect(new Set(between(0, undefined, "clerk").map(({ answer }) => answer))).toEqual(new Set(["east"]));
    const answers = new Set(calls().map(({ answer }) => answer));
    for (const expected of ["east", "west", "north", "UNKNOWN_OUTCOME", ...refusals]) answers.delete(expected);
    expect([...answers]).toEqual([]);
  };
  const socketsOf = async (node: Project): Promise<number> => {
    const rows = JSON.parse(await node.ok("list", "--json")) as { readonly pid: number }[];
    return rows.flatMap(({ pid }) => socketsOfProcess(pid)).length;
  };
  const sockets = () => Promise.all(Object.values(nodes).map(socketsOf));

  it("go on without one whose link is cut, and with it when it is healed", async () => {
    const before = await sockets();
    const cutAt = Date.now();
    network.cut("west");
    await passed(cutAt + patienceMs);
    // Its own host reaches it all the time.
    expect(JSON.parse(await nodes.west.ok("call", "till", "here"))).toBe("west");
    expect(await everywhere()).toEqual(["north"]);
    const healedAt = Date.now();
    // It was given up within that time, and nothing is spent on it any more.
    expect(new Set(between(cutAt + patienceMs, healedAt).map(({ answer }) => answer))).toEqual(new Set(["north"]));
    // What may be repeated was, on the other.
    expect(between(cutAt - patienceMs, healedAt, "again").filter(({ answer }) => !isTill(answer))).toEqual([]);
    network.heal("west");
    await answeredSince(healedAt, "west", "north");
    expect(await everywhere()).toEqual(["north", "west"]);
    expectNoneStuck(cutAt);
    await expect.poll(sockets, { timeout: 10_000 }).toEqual(before);
  });

  it("answer with a code where the caller's own link is cut, and the calls on its host go on", async () => {
    const before = await sockets();
    const cutAt = Date.now();
    network.cut("east");
    await passed(cutAt + patienceMs);
    const healedAt = Date.now();
    expect(new Set(between(cutAt + patienceMs, healedAt).map(({ answer }) => answer))).toEqual(
      new Set(["UNAVAILABLE"]),
    );
    network.heal("east");
    await answeredSince(healedAt, "west", "north");
    expectNoneStuck(cutAt);
    await expect.poll(sockets, { timeout: 10_000 }).toEqual(before);
  });

  it("go on when the NATS server is back, without a restart", async () => {
    const before = await sockets();
    const goneAt = Date.now();
    await server.kill();
    await passed(goneAt + patienceMs);
    const backAt = Date.now();
    expect(new Set(between(goneAt + patienceMs, backAt).map(({ answer }) => answer))).toEqual(new Set(["UNAVAILABLE"]));
    await server.start();
    await answeredSince(backAt, "west", "north");
    expectNoneStuck(goneAt);
    await expect.poll(sockets, { timeout: 10_000 }).toEqual(before);
  });

  it("did no call twice, none that was refused, and each that was answered", async () => {
    const begun = JSON.parse(await nodes.east.ok("call", "shop", "end")) as number;
    const ended = calls();
    expect(ended.map(({ id }) => id).sort((a, b) => a - b)).toEqual(Array.from({ length: begun }, (_, n) => n + 1));
    const times = new Map<number, number>();
    for (const id of linesOf(charged).map(Number)) times.set(id, (times.get(id) ?? 0) + 1);
    const isWrong = ({ to, id, answer }: Called): boolean => {
      const count = times.get(id) ?? 0;
      if (to === "again") return isTill(answer) && count === 0;
      if (answer === "UNKNOWN_OUTCOME") return count > 1;
      return count !== (refusals.includes(answer) ? 0 : 1);
    };
    expect(ended.filter(isWrong)).toEqual([]);
    expect(ended.some(({ answer }) => answer === "UNKNOWN_OUTCOME")).toBe(true);
  });
});

const isTill = (answer: string): boolean => answer === "west" || answer === "north";

function socketsOfProcess(pid: number): string[] {
  const fds = `/proc/${pid}/fd`;
  return readdirSync(fds).filter((fd) => {
    try {
      return readlinkSync(join(fds, fd)).startsWith("socket:");
    } catch {
      // It was closed meanwhile.
      return false;
    }
  });
}
