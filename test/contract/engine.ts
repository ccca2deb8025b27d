/** What every engine promises (runtime/engine/engine.ts), as one suite: each implementation runs it against itself. */
import { afterEach, describe, expect, it } from "vitest";
import { type Carry, type Engine, type Serve, stopOf } from "../../runtime/engine/engine.ts";
import { type CageError, Terminal } from "../../runtime/errors.ts";

export interface Flock {
  /** An engine for a cage of this name, not started. */
  join(cage: string): Engine;
  close(): Promise<void>;
}

const carry: Carry = { remainingMs: 2_000, trace: { id: "a".repeat(32), span: "b".repeat(16) }, logLevel: "debug" };
const nothing: Serve = async () => undefined;
const codeOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "no error",
    (error: CageError) => error.code,
  );

export function engineContract(
  name: string,
  createFlock: () => Promise<Flock>,
  /** One for calls has to say of all else that it cannot. */
  extent: "all" | "calls" = "all",
): void {
  describe(`the ${name} engine`, () => {
    const none: (title: string, body: () => Promise<void>) => void = () => {};
    const whole = extent === "all" ? it : none;
    const partial = extent === "calls" ? it : none;
    const flocks: Flock[] = [];
    afterEach(async () => {
      for (const flock of flocks.splice(0)) await flock.close();
    });

    async function started(cages: Readonly<Record<string, Serve>>): Promise<Record<string, Engine>> {
      const flock = await createFlock();
      flocks.push(flock);
      const engines: Record<string, Engine> = {};
      for (const [cage, serve] of Object.entries(cages)) {
        const engine = flock.join(cage);
        await engine.start(serve);
        engines[cage] = engine;
      }
      return engines;
    }

    it("carries a call, who asks, and what goes along, and brings the answer", async () => {
      const { a } = await started({
        a: nothing,
        b: async (from, path, args, given) => ({
          from: from.cage,
          path,
          args,
          level: given.logLevel,
          trace: given.trace.id,
        }),
      });
      expect(await a?.call({ cage: "b" }, "m.f", [1, "x"], carry)).toEqual({
        from: "a",
        path: "m.f",
        args: [1, "x"],
        level: "debug",
        trace: "a".repeat(32),
      });
    });

    it("lets a cage call itself", async () => {
      const { a } = await started({ a: async (_, path) => path });
      expect(await a?.call({ cage: "a" }, "m.f", [], carry)).toBe("m.f");
    });

    it("says NO_SUCH_CAGE when nobody runs it", async () => {
      const { a } = await started({ a: nothing });
      expect(await codeOf(a?.call({ cage: "nobody" }, "m.f", [], carry) as Promise<unknown>)).toBe("NO_SUCH_CAGE");
    });

    it("finds who answers now", async () => {
      const { a } = await started({ a: nothing, b: nothing });
      expect((await a?.discover())?.map((instance) => instance.cage).sort()).toEqual(["a", "b"]);
      expect((await a?.discover("b"))?.map((instance) => instance.cage)).toEqual(["b"]);
      expect(await a?.discover("c")).toEqual([]);
    });

    it("reaches a cage again after it left and came back", async () => {
      const flock = await createFlock();
      flocks.push(flock);
      const a = flock.join("a");
      await a.start(nothing);
      const first = flock.join("b");
      await first.start(async () => "first");
      expect(await a.call({ cage: "b" }, "m.f", [], carry)).toBe("first");
      await first.stop();
      expect(await codeOf(a.call({ cage: "b" }, "m.f", [], carry))).toMatch(/NO_SUCH_CAGE|UNAVAILABLE/);
      const second = flock.join("b");
      await second.start(async () => "second");
      expect(await a.call({ cage: "b" }, "m.f", [], carry)).toBe("second");
    });

    it("finishes what runs when it drains", async () => {
      let enter: () => void = () => {};
      let release: (value: string) => void = () => {};
      const inside = new Promise<void>((resolve) => {
        enter = resolve;
      });
      const { a, b } = await started({
        a: nothing,
        b: () =>
          new Promise((resolve) => {
            release = resolve;
            enter();
          }),
      });
      const call = a?.call({ cage: "b" }, "m.f", [], carry);
      await inside;
      const drained = b?.drain();
      release("done");
      expect(await call).toBe("done");
      await drained;
    });

    it("ends a call when who waits stops waiting, and tells the callee", async () => {
      const controller = new AbortController();
      let told: (code: string) => void = () => {};
      const heard = new Promise<string>((resolve) => (told = resolve));
      const { a } = await started({
        a: nothing,
        b: (_, __, ___, ____, stop) => {
          stop.onStop((why) => told((why as CageError).code));
          controller.abort(new Terminal("enough"));
          return new Promise(() => {});
        },
      });
      const call = a?.call({ cage: "b" }, "m.f", [], carry, stopOf(controller.signal));
      expect(await codeOf(call as Promise<unknown>)).toBe("TERMINAL");
      expect(await heard).toMatch(/CANCELLED|TERMINAL/);
      // Before it is sent as well.
      const late = a?.call({ cage: "b" }, "m.f", [], carry, stopOf(AbortSignal.abort(new Terminal("before"))));
      expect(await codeOf(late as Promise<unknown>)).toBe("TERMINAL");
    });

    it("carries errors by class and code", async () => {
      const { a } = await started({
        a: nothing,
        b: async () => {
          throw new Terminal("never", { details: { a: 1 }, cause: new Error("deep") });
        },
      });
      const error = await a?.call({ cage: "b" }, "m.f", [], carry).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(Terminal);
      expect(error).toMatchObject({ details: { a: 1 }, cause: { message: "deep" } });
    });

    it("carries streams both ways at once, and closes the generator whose taker left", async () => {
      let close: () => void = () => {};
      const closed = new Promise<void>((resolve) => (close = resolve));
      const { a } = await started({
        a: nothing,
        b: async (_, __, [items], ___, ____, send) => {
          async function* doubled() {
            try {
              for await (const item of items as AsyncIterable<number>) yield { twice: 2 * item, at: new Date(item) };
            } finally {
              close();
            }
          }
          await send(doubled());
        },
      });
      async function* numbers() {
        for (let n = 0; n < 100_000; n++) yield n;
      }
      const found: unknown[] = [];
      const answer = (await a?.call({ cage: "b" }, "m.f", [numbers()], carry)) as AsyncIterable<unknown>;
      for await (const item of answer) if (found.push(item) === 600) break;
      expect(found[599]).toEqual({ twice: 1198, at: new Date(599) });
      await closed;
    });

    whole("publishes to every subscriber of the subject, in order, to itself too, and to nobody else", async () => {
      const { a, b } = await started({ a: nothing, b: nothing });
      const seen: unknown[] = [];
      const last = new Promise<void>((resolve) => {
        b?.subscribe("news.*", (data, from) => {
          seen.push(`${from.cage}:${data}`);
          if (data === 3) resolve();
        });
      });
      b?.subscribe("weather", () => seen.push("weather"));
      const own: unknown[] = [];
      a?.subscribe("news.sport", (data) => own.push(data));
      // Another node may learn of a subscription a moment later.
      await expect.poll(() => a?.publish("news.sport", 0).then(() => seen.length), { timeout: 5_000 }).not.toBe(0);
      for (const n of [1, 2, 3]) await a?.publish("news.sport", n);
      await last;
      expect(seen.filter((each) => each !== "a:0")).toEqual(["a:1", "a:2", "a:3"]);
      expect(own.filter((each) => each !== 0)).toEqual([1, 2, 3]);
    });

    whole("remembers keys for all processes, and writes over a known revision only", async () => {
      const { a, b } = await started({ a: nothing, b: nothing });
      expect(await a?.kv.read("k")).toBeUndefined();
      expect(await a?.kv.cas("k", { n: 1 }, 0)).toBe(true);
      expect(await b?.kv.cas("k", { n: 9 }, 0)).toBe(false);
      const read = await b?.kv.read("k");
      expect(read?.value).toEqual({ n: 1 });
      expect(await b?.kv.cas("k", { n: 2 }, read?.revision ?? -1)).toBe(true);
      expect(await a?.kv.cas("k", { n: 3 }, read?.revision ?? -1)).toBe(false);
      await a?.kv.write("brief", 1, { ttlMs: -1 });
      expect(await a?.kv.read("brief")).toBeUndefined();
      await a?.kv.remove("k");
      expect(await b?.kv.read("k")).toBeUndefined();
    });

    partial("says which engine can what it cannot", async () => {
      const { a } = await started({ a: nothing });
      const engine = a as Engine;
      const tries: (() => unknown)[] = [
        () => engine.publish("news.sport", 1),
        () => engine.subscribe("news.*", () => {}),
        () => engine.kv.read("k"),
        () => engine.kv.write("k", 1),
        () => engine.kv.cas("k", 1, 0),
        () => engine.kv.remove("k"),
      ];
      for (const attempt of tries)
        await expect((async () => attempt())()).rejects.toMatchObject({
          code: "UNSUPPORTED",
          message: expect.stringContaining('engine: { kind: "nats"'),
        });
    });
  });
}
