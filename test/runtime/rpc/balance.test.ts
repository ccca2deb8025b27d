import { describe, expect, it, vi } from "vitest";
import { type Stop, stopOf } from "../../../runtime/engine/engine.ts";
import { CageError } from "../../../runtime/errors.ts";
import { Balance, type BalancedCall, type Peer } from "../../../runtime/rpc/balance.ts";

const peers = (...keys: string[]): Peer[] => keys.map((key) => ({ key }));
const once: BalancedCall = { repeatable: async () => false };
const twice: BalancedCall = { repeatable: async () => true };

/** A balance on a clock of its own, with chance that repeats. */
function balanced() {
  const clock = { ms: 1_000 };
  let seed = 7;
  const random = () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  return { clock, balance: new Balance<Peer>({ now: () => clock.ms, random }) };
}

const fails = (code: string) => async () => {
  throw new CageError(code, "as told");
};

describe("a call among several instances", () => {
  it("goes to each of them about as often when they are alike", async () => {
    const { balance } = balanced();
    const counts: Record<string, number> = {};
    for (let n = 0; n < 3_000; n++)
      await balance.call(peers("a", "b", "c"), async ({ key }) => (counts[key] = (counts[key] ?? 0) + 1), once);
    for (const key of ["a", "b", "c"]) expect(counts[key]).toBeGreaterThan(800);
  });

  it("avoids the one that is slow, and finds back to it when it is quick again", async () => {
    const { balance, clock } = balanced();
    const took: Record<string, number> = { a: 2, b: 2, c: 200 };
    const share = async () => {
      let c = 0;
      for (let n = 0; n < 1_000; n++)
        await balance.call(
          peers("a", "b", "c"),
          async ({ key }) => {
            clock.ms += took[key] as number;
            if (key === "c") c++;
          },
          once,
        );
      return c / 1_000;
    };
    expect(await share()).toBeLessThan(0.05);
    took["c"] = 2;
    clock.ms += 120_000;
    await share();
    expect(await share()).toBeGreaterThan(0.2);
  });

  it("goes to the one with fewer calls outstanding", async () => {
    const { balance } = balanced();
    const free: (() => void)[] = [];
    const held: string[] = [];
    const calls = Array.from({ length: 60 }, () =>
      balance.call(
        peers("a", "b"),
        ({ key }) => {
          held.push(key);
          return new Promise<void>((resolve) => free.push(resolve));
        },
        once,
      ),
    );
    const a = held.filter((key) => key === "a").length;
    expect(Math.abs(a - 30)).toBeLessThanOrEqual(2);
    for (const resolve of free) resolve();
    await Promise.all(calls);
  });
});

describe("a call that fails", () => {
  it("goes to another instance when it was certainly not begun", async () => {
    for (const code of ["UNAVAILABLE", "NO_SUCH_CAGE", "OVERLOADED"]) {
      const { balance } = balanced();
      const asked: string[] = [];
      const answer = await balance.call(
        peers("a", "b"),
        async ({ key }) => {
          asked.push(key);
          if (asked.length === 1) await fails(code)();
          return key;
        },
        once,
      );
      expect([new Set(asked).size, answer]).toEqual([2, asked[1]]);
    }
  });

  it("whose outcome is unknown is repeated only when that is harmless", async () => {
    const { balance } = balanced();
    const send = vi.fn(fails("UNKNOWN_OUTCOME"));
    await expect(balance.call(peers("a", "b"), send, once)).rejects.toMatchObject({ code: "UNKNOWN_OUTCOME" });
    expect(send).toHaveBeenCalledTimes(1);
    await expect(balance.call(peers("a", "b"), send, twice)).rejects.toMatchObject({ code: "UNKNOWN_OUTCOME" });
    expect(send).toHaveBeenCalledTimes(3);
  });

  it("by the function's own error is nobody's fault, and is not repeated", async () => {
    const { balance } = balanced();
    const send = vi.fn(fails("SOLD_OUT"));
    for (let n = 0; n < 50; n++)
      await expect(balance.call(peers("a", "b"), send, twice)).rejects.toMatchObject({ code: "SOLD_OUT" });
    expect(send).toHaveBeenCalledTimes(50);
    expect(balance.states().map(({ breaker }) => breaker)).toEqual(["closed", "closed"]);
  });

  it("tries a bounded number of instances", async () => {
    const { balance } = balanced();
    const send = vi.fn(fails("UNAVAILABLE"));
    await expect(balance.call(peers("a", "b", "c", "d", "e"), send, once)).rejects.toMatchObject({
      code: "UNAVAILABLE",
    });
    expect(send).toHaveBeenCalledTimes(3);
  });

  it("is not repeated for a caller who has gone", async () => {
    const { balance } = balanced();
    const gone = new AbortController();
    const send = vi.fn(async () => {
      gone.abort(new CageError("CANCELLED", "gone"));
      await fails("UNAVAILABLE")();
    });
    await expect(balance.call(peers("a", "b"), send, { ...twice, stop: stopOf(gone.signal) })).rejects.toThrow();
    expect(send).toHaveBeenCalledTimes(1);
  });
});

describe("a breaker", () => {
  it("opens after failures in a row, refuses at once, lets one call try, and closes when that succeeds", async () => {
    const { balance, clock } = balanced();
    for (let n = 0; n < 5; n++) await expect(balance.call(peers("a"), fails("UNAVAILABLE"), once)).rejects.toThrow();
    const send = vi.fn(async () => "well");
    const refused = await balance.call(peers("a"), send, once).catch((error: CageError) => error);
    expect(refused).toMatchObject({ code: "UNAVAILABLE", retryable: true });
    expect((refused as CageError).details?.["retryAfterMs"]).toBeGreaterThan(700);
    expect(send).not.toHaveBeenCalled();
    clock.ms += 1_300;
    expect(balance.states()).toMatchObject([{ key: "a", breaker: "half-open" }]);
    let finish = (): void => {};
    const probe = balance.call(peers("a"), () => new Promise<void>((resolve) => (finish = resolve)), once);
    await expect(balance.call(peers("a"), send, once)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    finish();
    await probe;
    expect(await balance.call(peers("a"), send, once)).toBe("well");
  });

  describe("and calls that ran out of time", () => {
    const world = () => {
      const { balance, clock } = balanced();
      const call = (ms: number, failure?: () => Promise<never>) =>
        balance
          .call(
            peers("a"),
            async () => {
              clock.ms += ms;
              await failure?.();
            },
            once,
          )
          .catch((error: CageError) => error.code);
      return { call, clock, breaker: () => balance.states()[0]?.breaker };
    };

    it("opens when they waited as long as its slowest answer lately took, or 100 ms before the first", async () => {
      const fresh = world();
      for (let n = 0; n < 5; n++) await fresh.call(100, fails("EXPIRED"));
      expect(fresh.breaker()).toBe("open");
      const known = world();
      await known.call(5);
      await known.call(800);
      for (let n = 0; n < 5; n++) await known.call(800, fails("EXPIRED"));
      expect(known.breaker()).toBe("open");
    });

    it("stays closed when their callers had less patience than that, however many they are", async () => {
      const { call, breaker } = world();
      for (let n = 0; n < 50; n++) await call(20, fails("EXPIRED"));
      expect(breaker()).toBe("closed");
      for (let n = 0; n < 8; n++) {
        await call(800);
        for (let m = 0; m < 10; m++) await call(200, fails("EXPIRED"));
      }
      expect(breaker()).toBe("closed");
    });

    it("opens on an instance that has been silent so long that what it took before is forgotten", async () => {
      const { call, breaker } = world();
      await call(2_000);
      for (let n = 0; n < 10; n++) await call(200, fails("EXPIRED"));
      expect(breaker()).toBe("closed");
      for (let n = 0; n < 200 && breaker() === "closed"; n++) await call(200, fails("EXPIRED"));
      expect(breaker()).toBe("open");
    });
  });

  it("stays open for longer each time the try fails, up to a bound", async () => {
    const { balance, clock } = balanced();
    for (let n = 0; n < 5; n++) await expect(balance.call(peers("a"), fails("UNAVAILABLE"), once)).rejects.toThrow();
    for (const ms of [1_200, 2_400, 4_800, 9_600, 19_200, 36_000, 36_000]) {
      expect(balance.states()[0]?.breaker).toBe("open");
      clock.ms += ms;
      expect(balance.states()[0]?.breaker).toBe("half-open");
      await expect(balance.call(peers("a"), fails("UNAVAILABLE"), once)).rejects.toThrow("as told");
    }
  });

  it("of one instance sends its calls to the others", async () => {
    const { balance } = balanced();
    const counts: Record<string, number> = {};
    for (let n = 0; n < 200; n++)
      await balance.call(
        peers("ill", "well"),
        async ({ key }) => {
          counts[key] = (counts[key] ?? 0) + 1;
          if (key === "ill") await fails("UNAVAILABLE")();
        },
        once,
      );
    expect(counts).toEqual({ ill: 5, well: 200 });
  });

  it("closes when the instance says that it is there again", async () => {
    const { balance } = balanced();
    for (let n = 0; n < 5; n++) await expect(balance.call(peers("a"), fails("UNAVAILABLE"), once)).rejects.toThrow();
    balance.revive((key) => key === "a");
    expect(await balance.call(peers("a"), async () => 1, once)).toBe(1);
  });

  it("gives one that is there again its share at once, however long its last calls took", async () => {
    const { balance, clock } = balanced();
    const cutOff = async () => {
      clock.ms += 1_500;
      await fails("UNKNOWN_OUTCOME")();
    };
    await expect(balance.call(peers("cut"), cutOff, once)).rejects.toThrow();
    const share = async () => {
      let count = 0;
      const send = async ({ key }: Peer) => {
        clock.ms += 2;
        if (key === "cut") count++;
      };
      for (let n = 0; n < 200; n++) await balance.call(peers("cut", "well"), send, once);
      return count;
    };
    expect(await share()).toBe(0);
    balance.revive((key) => key === "cut");
    expect(await share()).toBeGreaterThan(50);
  });

  it("does not blame an instance for a caller that stopped waiting", async () => {
    const { balance } = balanced();
    for (let n = 0; n < 20; n++) {
      const end = new AbortController();
      const call = balance.call(peers("a"), (_, stop) => new Promise((_, reject) => stop?.onStop(reject)), {
        ...once,
        stop: stopOf(end.signal),
      });
      end.abort(new CageError("CANCELLED", "enough"));
      await expect(call).rejects.toMatchObject({ code: "CANCELLED" });
    }
    expect(balance.states()).toMatchObject([{ breaker: "closed", outstanding: 0 }]);
  });
});

describe("a hedged call", () => {
  const never = (_: Peer, stop: Stop | undefined): Promise<never> => new Promise((_, reject) => stop?.onStop(reject));

  it("goes to a second instance when the first takes long; the first answer counts, the other is cancelled", async () => {
    const balance = new Balance<Peer>();
    const asked: string[] = [];
    const ended: unknown[] = [];
    const answer = await balance.call(
      peers("a", "b"),
      (peer, stop) => {
        asked.push(peer.key);
        stop?.onStop(() => ended.push(peer.key));
        return asked.length === 1 ? never(peer, stop) : Promise.resolve(peer.key);
      },
      { ...twice, hedgeMs: 5 },
    );
    expect([asked.length, answer, ended[0]]).toEqual([2, asked[1], asked[0]]);
    expect(balance.states().map(({ outstanding }) => outstanding)).toEqual([0, 0]);
  });

  it("is sent once when it answers in time, or may not be done twice", async () => {
    const balance = new Balance<Peer>();
    const send = vi.fn(async () => "quick");
    expect(await balance.call(peers("a", "b"), send, { ...twice, hedgeMs: 1_000 })).toBe("quick");
    expect(send).toHaveBeenCalledTimes(1);
    const end = new AbortController();
    const slow = vi.fn(never);
    const call = balance.call(peers("a", "b"), slow, { ...once, hedgeMs: 1, stop: stopOf(end.signal) });
    await new Promise((resolve) => setTimeout(resolve, 20));
    end.abort(new CageError("EXPIRED", "over"));
    await expect(call).rejects.toMatchObject({ code: "EXPIRED" });
    expect(slow).toHaveBeenCalledTimes(1);
  });

  it("fails as the first one did when both fail", async () => {
    const balance = new Balance<Peer>();
    let n = 0;
    const call = balance.call(
      peers("a", "b"),
      async () => {
        const mine = ++n;
        await new Promise((resolve) => setTimeout(resolve, 15));
        throw new CageError("SOLD_OUT", `told by ${mine}`);
      },
      { ...twice, hedgeMs: 1 },
    );
    await expect(call).rejects.toThrow("told by 1");
  });
});
