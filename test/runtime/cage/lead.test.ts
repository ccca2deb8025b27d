import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { Lead, leaseMs } from "../../../runtime/cage/lead.ts";
import { Unavailable } from "../../../runtime/errors.ts";
import { events } from "../../../runtime/health/events.ts";

/** Time as told, and shared memory at the end of links that are slow, lose answers, or are cut. */
class World {
  now = 0;
  #timers: { at: number; callback: () => void }[] = [];
  #stored: { value: unknown; revision: number } | undefined;

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.now + ms, callback };
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.after(ms, resolve));
  }

  async pass(ms: number, each = () => {}): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      await new Promise((turn) => setImmediate(turn));
      each();
      const timer = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      this.now = timer?.at ?? end;
      if (timer === undefined) return;
      this.#timers = this.#timers.filter((other) => other !== timer);
      timer.callback();
    }
  }

  read = (): { value: unknown; revision: number } | undefined => this.#stored;
  cas = (value: unknown, revision: number): boolean => {
    if ((this.#stored?.revision ?? 0) !== revision) return false;
    this.#stored = { value: structuredClone(value), revision: revision + 1 };
    return true;
  };
  lose = () => void (this.#stored = undefined);
}

interface Link {
  /** The time to shared memory, and that from it; taken in turn. */
  delaysMs: readonly number[];
  /** Of so many operations one is lost: on the way there, or back. */
  lossEvery?: number;
}

class Node {
  readonly name: string;
  readonly lead: Lead;
  cut = false;
  wants = true;
  began = 0;
  /** What ends when it no longer leads. */
  work: Promise<void> = Promise.resolve();
  #operations = 0;
  #delays = 0;

  constructor(
    world: World,
    name: string,
    { rate = 1, offsetMs = 0, wallMs = 0, link = { delaysMs: [1] } as Link } = {},
  ) {
    this.name = name;
    const operate = async <T>(work: () => T): Promise<T> => {
      const lost = link.lossEvery !== undefined && ++this.#operations % link.lossEvery === 0;
      const onTheWayBack = this.#operations % 2 === 0;
      await world.sleep(link.delaysMs[this.#delays++ % link.delaysMs.length] as number);
      if (this.cut || (lost && !onTheWayBack)) throw new Unavailable("cut");
      const answer = work();
      await world.sleep(link.delaysMs[this.#delays++ % link.delaysMs.length] as number);
      if (this.cut || lost) throw new Unavailable("cut");
      return answer;
    };
    this.lead = new Lead({
      name: "shop.tick",
      node: name,
      kv: () => ({
        read: () => operate(world.read),
        cas: (_, value, revision) => operate(() => world.cas(value, revision)),
      }),
      wants: () => this.wants,
      begin: async () => void this.began++,
      end: () => this.work,
      clock: {
        now: () => offsetMs + world.now * rate,
        wall: () => wallMs + world.now,
        after: (ms, callback) => world.after(ms / rate, callback),
      },
    });
    this.lead.start();
  }
}

const problems: string[] = [];
const off: (() => void)[] = [];
const listen = () => off.push(events.on("problem", ({ what }) => void problems.push(what)));
afterEach(() => {
  for (const each of off.splice(0)) each();
  problems.length = 0;
});

const leading = (nodes: readonly Node[]) => nodes.filter(({ lead }) => lead.leading).map(({ name }) => name);

describe("one of several nodes", () => {
  test("leads, and the others know who", async () => {
    const world = new World();
    const east = new Node(world, "east");
    await world.pass(100);
    const west = new Node(world, "west");
    await world.pass(60_000);
    expect(leading([east, west])).toEqual(["east"]);
    expect(west.lead.leader).toEqual({ node: "east", term: 1 });
    expect([east.began, west.began]).toEqual([1, 0]);
    expect(await Promise.all([west.lead.claim(1), Promise.resolve(true)])).toEqual([false, true]);
  });

  test("is another within two leases when it is lost, in a later term, and makes up for what was left since its last claim", async () => {
    const world = new World();
    const east = new Node(world, "east", { wallMs: 1_000_000 });
    await world.pass(1_000);
    const west = new Node(world, "west", { wallMs: 1_000_000 });
    await world.pass(10_000);
    const claimed = east.lead.claim(1_011_000);
    await world.pass(10);
    expect(await claimed).toBe(true);
    east.cut = true;
    await world.pass(2 * leaseMs);
    expect(leading([east, west])).toEqual(["west"]);
    expect(west.lead.leader).toEqual({ node: "west", term: 2 });
    expect(west.lead.since).toBe(1_011_000);
  });

  test("does not make up for what was due while all were down for long", async () => {
    const world = new World();
    const east = new Node(world, "east");
    await world.pass(1_000);
    east.cut = true;
    await world.pass(3_600_000);
    const west = new Node(world, "west");
    await world.pass(2 * leaseMs);
    expect(west.lead.since).toBeGreaterThan(3_500_000);
  });

  test("gives back when it leaves, after its work has ended: another leads within a second and a half", async () => {
    const world = new World();
    const east = new Node(world, "east");
    await world.pass(1_000);
    const west = new Node(world, "west");
    east.work = world.sleep(11_000);
    const left = east.lead.leave();
    await world.pass(9_900);
    expect(leading([east, west])).toEqual([]);
    await world.pass(1_600);
    await left;
    expect(leading([east, west])).toEqual(["west"]);
  });

  test("leads when another no longer wants to", async () => {
    const world = new World();
    const east = new Node(world, "east");
    await world.pass(1_000);
    const west = new Node(world, "west");
    await world.pass(1_000);
    east.wants = false;
    await world.pass(2_500);
    expect(leading([east, west])).toEqual(["west"]);
  });

  test("leads again when shared memory has forgotten everything", async () => {
    const world = new World();
    const nodes = [new Node(world, "east"), new Node(world, "west")];
    await world.pass(5_000);
    world.lose();
    await world.pass(2_000);
    expect(leading(nodes)).toHaveLength(1);
  });

  test("stops before its lease is over when shared memory does not answer, says so once, and goes on when it does", async () => {
    listen();
    const world = new World();
    const east = new Node(world, "east");
    await world.pass(5_000);
    east.cut = true;
    await world.pass(leaseMs + 1);
    expect(east.lead.leading).toBe(false);
    const claimed = east.lead.claim(1);
    await world.pass(60_000);
    expect(await claimed).toBe(false);
    expect(problems).toEqual(["leading shop.tick, which no node does that does not reach shared memory"]);
    east.cut = false;
    await world.pass(2_000);
    expect(east.lead.leading).toBe(true);
    expect(east.began).toBe(2);
  });
});

test("whatever links and clocks do, no two nodes lead at a time, a claim is granted once, and terms grow", async () => {
  const link = fc.record({
    delaysMs: fc.array(fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 4_000 })), { minLength: 1 }),
    lossEvery: fc.integer({ min: 2, max: 50 }),
  });
  const clock = fc.record({
    rate: fc.double({ min: 0.99, max: 1.01, noNaN: true }),
    offsetMs: fc.integer({ min: 0, max: 1e9 }),
    wallMs: fc.integer({ min: -30_000, max: 30_000 }),
    link,
  });
  const cuts = fc.array(fc.record({ node: fc.nat(2), ms: fc.integer({ min: 100, max: 8_000 }) }), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(fc.tuple(clock, clock, clock), cuts, async (clocks, plan) => {
      const world = new World();
      const nodes = clocks.map((each, index) => new Node(world, `node${index}`, each));
      const granted = new Map<number, number>();
      let asked = 0;
      let term = 0;
      const check = () => {
        const leaders = nodes.filter(({ lead }) => lead.leading);
        expect(leaders.length).toBeLessThan(2);
        for (const { lead } of leaders) {
          expect(lead.leader?.term).toBeGreaterThanOrEqual(term);
          term = lead.leader?.term ?? term;
        }
        const due = Math.floor(world.now / 1_000);
        if (due <= asked) return;
        asked = due;
        // All ask for the same, and who was granted one asks for no older one.
        for (const { lead } of nodes)
          if ((lead.since ?? 0) < due)
            void lead.claim(due).then(
              (mine) => mine && granted.set(due, (granted.get(due) ?? 0) + 1),
              () => {},
            );
      };
      for (const { node, ms } of plan) {
        const cut = nodes[node] as Node;
        cut.cut = !cut.cut;
        await world.pass(ms, check);
      }
      await world.pass(10_000, check);
      expect([...granted.values()].filter((times) => times !== 1)).toEqual([]);
    }),
    { numRuns: 60 },
  );
}, 60_000);
