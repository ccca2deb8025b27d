import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CageError } from "../../../runtime/errors.ts";
import { type Entrant, Gate, type Limits } from "../../../runtime/request/gate.ts";

/** A gate on a clock that stands still unless told, and those who come to it. */
function yard(limits: Limits) {
  let at = 0;
  const gate = new Gate({ name: "the yard", ...limits, clock: () => at });
  const comers = new Set<Comer>();

  class Comer implements Entrant {
    readonly deadline: number;
    #why: CageError | undefined;
    readonly #listeners = new Set<(why: CageError) => void>();
    state: "waits" | "runs" | "left" | "refused" | "stopped" = "waits";
    since = 0;
    error: CageError | undefined;

    constructor(withinMs: number) {
      this.deadline = at + withinMs;
      comers.add(this);
      try {
        const room = gate.enter(this);
        if (room === undefined) this.#begin();
        else
          room.then(
            () => this.#begin(),
            (error: CageError) => {
              this.error = error;
              this.state = error.code === "OVERLOADED" ? "refused" : "stopped";
            },
          );
      } catch (error) {
        this.error = error as CageError;
        this.state = "refused";
      }
    }

    get stopped(): CageError | undefined {
      if (at >= this.deadline) this.stop("EXPIRED");
      return this.#why;
    }

    onStop(listener: (why: CageError) => void): () => void {
      this.#listeners.add(listener);
      return () => void this.#listeners.delete(listener);
    }

    stop(code: string): void {
      if (this.#why !== undefined) return;
      this.#why = new CageError(code, code);
      for (const listener of this.#listeners) listener(this.#why);
    }

    leave(): void {
      this.state = "left";
      gate.leave(this.since);
    }

    #begin(): void {
      this.state = "runs";
      this.since = at;
    }
  }

  return {
    gate,
    comers,
    come: (withinMs: number) => new Comer(withinMs),
    /** Passes time; whose deadline comes is told so, as the wheel does. */
    async pass(ms: number): Promise<void> {
      at += ms;
      for (const each of comers) if (each.deadline <= at) each.stop("EXPIRED");
      await settled();
    },
    now: () => at,
  };
}

const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 3; turn++) await Promise.resolve();
};

describe("a gate", () => {
  it("lets in those with the earliest deadline first, whoever came first", async () => {
    const { come } = yard({ running: 1, waiting: 10 });
    let running = come(1_000);
    const waiting = [900, 300, 700, 500, 100].map(come);
    const order: number[] = [];
    for (const _ of waiting) {
      running.leave();
      await settled();
      running = waiting.find((each) => each.state === "runs")!;
      order.push(running.deadline);
    }
    expect(order).toEqual([100, 300, 500, 700, 900]);
  });

  it("refuses at once when its line is full, and says when to come again", async () => {
    const { come, pass } = yard({ running: 2, waiting: 2 });
    const slow = come(60_000);
    come(60_000);
    await pass(100);
    slow.leave();
    for (let n = 0; n < 3; n++) come(60_000);
    const late = come(60_000);
    expect(late).toMatchObject({ state: "refused", error: { code: "OVERLOADED", retryable: true } });
    // Three have to begin before it, and of two slots held for 100 ms one comes free in 50.
    expect(late.error!.details).toEqual({ retryAfterMs: 150 });
  });

  it("refuses at once who could not begin before its deadline, and lets in who could", async () => {
    const { come, pass } = yard({ running: 1, waiting: 100 });
    const first = come(60_000);
    await pass(100);
    first.leave();
    come(60_000);
    const later = [1, 2, 3].map(() => come(10_000));
    expect(later.map((each) => each.state)).toEqual(["waits", "waits", "waits"]);
    expect(come(90)).toMatchObject({ state: "refused", error: { details: { retryAfterMs: 100 } } });
    // Those with later deadlines are not ahead of it.
    expect(come(150).state).toBe("waits");
    expect(come(10_001)).toMatchObject({ state: "waits" });
    expect(come(550)).toMatchObject({ state: "waits" });
  });

  it("refuses nobody on an estimate before anything was measured", () => {
    const { come } = yard({ running: 1, waiting: 100 });
    come(60_000);
    expect(come(1).state).toBe("waits");
  });

  it("when full, gives the place of one who cannot make it any more to one who can, and of nobody else", async () => {
    const { come, pass } = yard({ running: 1, waiting: 2 });
    const first = come(60_000);
    await pass(100);
    first.leave();
    come(60_000);
    const [sooner, last] = [come(1_009), come(1_010)];
    // Both could be served, and were let in: more urgent is not enough.
    expect([come(500).state, last.state]).toEqual(["refused", "waits"]);
    // What runs takes long: of two in line the second would begin in 200 ms, and has 110.
    await pass(900);
    const urgent = come(105);
    await settled();
    expect([urgent.state, sooner.state, last.state]).toEqual(["waits", "waits", "refused"]);
    expect(last.error).toMatchObject({ code: "OVERLOADED", details: { retryAfterMs: 200 } });
    // One that is less urgent than all of them takes nobody's place.
    expect(come(5_000).state).toBe("refused");
  });

  it("gives up a place in line at the deadline", async () => {
    const { gate, come, pass } = yard({ running: 1, waiting: 5 });
    come(1_000);
    const one = come(20);
    await pass(20);
    expect(one).toMatchObject({ state: "stopped", error: { code: "EXPIRED" } });
    expect(gate.waiting).toBe(0);
  });

  it("with other limits disturbs nobody, and lets in as many more as there is room for", async () => {
    const { gate, come } = yard({ running: 1, waiting: 5 });
    const all = [1, 2, 3, 4].map(() => come(1_000));
    gate.resize({ running: 3, waiting: 5 });
    await settled();
    expect(all.map((each) => each.state)).toEqual(["runs", "runs", "runs", "waits"]);
    gate.resize({ running: 1, waiting: 5 });
    all[0]!.leave();
    await settled();
    expect(all[3]!.state).toBe("waits");
    expect(gate.status()).toEqual({ name: "the yard", running: 2, limit: 1, waiting: 1, heldMs: 0 });
  });

  it("with a range finds its limit by how long slots are held, and lets in as many", async () => {
    const { gate, come, comers, pass } = yard({ running: { min: 4, max: 100 }, waiting: 10 });
    expect(gate.limit).toBe(4);
    for (let round = 0; round < 200; round++) {
      while (gate.running < gate.limit) come(60_000);
      // Twelve places: past them all are slower together.
      await pass(10 * Math.max(1, gate.running / 12));
      for (const each of comers) if (each.state === "runs") each.leave();
      comers.clear();
    }
    expect(gate.limit).toBeGreaterThanOrEqual(12);
    expect(gate.limit).toBeLessThanOrEqual(25);
  });

  it("takes ten thousand that give up at once in the time of one tick", async () => {
    const { gate, come, pass } = yard({ running: 1, waiting: 10_000 });
    come(60_000);
    for (let n = 0; n < 10_000; n++) come(1_000 + (n % 7));
    const startedAt = performance.now();
    await pass(2_000);
    expect(gate.waiting).toBe(0);
    // A search for each would be 50 million steps, a rebuild for each a minute.
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});

const step = fc.oneof(
  fc.record({ do: fc.constant("come" as const), withinMs: fc.integer({ min: 1, max: 400 }) }),
  fc.record({ do: fc.constant("leave" as const), which: fc.nat(20) }),
  fc.record({ do: fc.constant("cancel" as const), which: fc.nat(20) }),
  fc.record({ do: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: 150 }) }),
);

describe("a gate, whoever comes, leaves, gives up or expires in whatever order,", () => {
  it("never has more run than it may, loses no slot, lets in by deadline, and lets nobody wait past it", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 0, max: 6 }),
        fc.array(step, { maxLength: 80 }),
        async (running, waiting, steps) => {
          const { gate, comers, come, pass, now } = yard({ running, waiting });
          const those = (state: string) => [...comers].filter((each) => each.state === state);
          for (const each of steps) {
            const before = those("waits");
            if (each.do === "come") come(each.withinMs);
            else if (each.do === "pass") await pass(each.ms);
            else if (each.do === "leave") those("runs")[each.which % Math.max(1, those("runs").length)]?.leave();
            else if (before.length > 0) before[each.which % before.length]!.stop("CANCELLED");
            await settled();

            expect(those("runs").length).toBeLessThanOrEqual(running);
            expect(gate.running).toBe(those("runs").length);
            expect(gate.waiting).toBe(those("waits").length);
            expect(gate.waiting).toBeLessThanOrEqual(waiting);
            // A slot that is free while somebody waits is lost.
            if (gate.waiting > 0) expect(gate.running).toBe(running);
            for (const one of those("waits")) expect(one.deadline).toBeGreaterThan(now());
            const entered = before.filter((one) => one.state === "runs");
            for (const one of entered)
              for (const other of those("waits")) expect(one.deadline).toBeLessThanOrEqual(other.deadline);
          }
          for (const one of those("waits")) one.stop("CANCELLED");
          await settled();
          for (const one of those("runs")) one.leave();
          expect([gate.running, gate.waiting]).toEqual([0, 0]);
        },
      ),
      { numRuns: 300 },
    );
  });
});
