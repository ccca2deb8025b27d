/**
 * What every interface that is asked promises (runtime/interfaces/interface.ts), as one suite: each protocol runs it with
 * a client of its own (test/kit/askers.ts), and answers by configuration alone.
 */
import { afterEach, describe, expect, it } from "vitest";
import { CageError } from "../../runtime/errors.ts";
import type { Interface, InterfaceProtocol } from "../../runtime/interfaces/interface.ts";
import { current, type Request } from "../../runtime/request/request.ts";
import { type Asker, dial, type Outcome } from "../kit/askers.ts";
import { createHost } from "../kit/host.ts";

export interface Way {
  readonly protocol: InterfaceProtocol<never>;
  readonly options: Readonly<Record<string, unknown>>;
  /** The name in `answers` of what its asker asks. */
  readonly work: string;
  readonly answer?: string;
  /** Options that bound what may come in to some 1,000 bytes. */
  readonly small: Readonly<Record<string, unknown>>;
  /** Options by which a client that left is soon known to have; where that is not at once. */
  readonly impatient?: Readonly<Record<string, unknown>>;
  /** What runs when it drains is finished, but its client asks the next process for the answer. */
  readonly answersLater?: boolean;
  connect(url: string): Promise<Asker>;
}

export function interfaceContract(name: string, way: Way): void {
  describe(`the ${name} interface`, () => {
    const open: (() => unknown)[] = [];
    afterEach(async () => {
      for (const close of open.splice(0).reverse()) await close();
    });

    async function serve(
      hello: (who: string) => unknown,
      { options = {}, ...limits }: { options?: object; timeoutMs?: number; running?: number; waiting?: number } = {},
    ) {
      const greeter = { hello };
      const made = createHost(
        {},
        {
          ...limits,
          answers: { [way.work]: way.answer ?? "greeter.hello(who)" },
          modules: () => ({ greeter: { ...greeter } }),
        },
      );
      const chosen = way.protocol.options.parse({ ...way.options, ...options });
      const door: Interface = way.protocol.create(chosen, made.host);
      await door.start();
      open.push(() => door.stop());
      const asker = async () => {
        const client = await way.connect(door.url as string);
        open.push(() => client.leave());
        return client;
      };
      return { door, asker, greeter };
    }

    /** A handler that tells when it began, and ends when told. */
    function held() {
      const begun: Request[] = [];
      const finish: ((value: unknown) => void)[] = [];
      return {
        begun,
        hello: () => {
          begun.push(current());
          return new Promise((resolve) => finish.push(resolve));
        },
        finish: (value: unknown) => finish.shift()?.(value),
      };
    }

    it("answers with a function of the cage, by configuration alone", async () => {
      const { asker } = await serve((who) => `hello, ${who}`);
      const client = await asker();
      expect(await client.ask("you")).toEqual({ answer: "hello, you" });
      expect(await client.ask("räksmörgås 日本 🎈")).toEqual({ answer: "hello, räksmörgås 日本 🎈" });
    });

    it("shows its handler who asks and how long there is", async () => {
      let seen: Request | undefined;
      const { asker } = await serve(() => {
        seen = current();
        return "seen";
      });
      await (await asker()).ask("you");
      expect(seen).toMatchObject({
        id: expect.any(String),
        trace: { id: expect.stringMatching(/^[0-9a-f]{32}$/), span: expect.stringMatching(/^[0-9a-f]{16}$/) },
        generation: 1,
        logLevel: "info",
        from: "127.0.0.1",
        interface: "test",
        deadline: expect.any(Number),
      });
      expect((seen as Request).deadline - (seen as Request).startedAt).toBeLessThan(10_001);
    });

    it("ends a wait at the deadline, in its own form of an error", async () => {
      const { asker } = await serve(() => new Promise(() => {}), { timeoutMs: 60 });
      expect(await (await asker()).ask("you")).toMatchObject({ code: "EXPIRED", message: expect.any(String) });
    });

    it("refuses at once what it has no room for, and serves on", async () => {
      const { hello, begun, finish } = held();
      const { asker } = await serve(hello, { running: 1, waiting: 0 });
      const [first, second] = [await asker(), await asker()];
      const running = first.ask("first");
      await expect.poll(() => begun.length).toBe(1);
      expect(await second.ask("second")).toMatchObject({ code: "OVERLOADED" });
      // Who comes while it is full is told so too.
      expect(await (await asker()).ask("third")).toMatchObject({ code: "OVERLOADED" });
      finish("done");
      expect(await running).toEqual({ answer: "done" });
    });

    it("tells outsiders a code and a sentence, and of a fault neither words nor stack", async () => {
      const thrown: unknown[] = [
        Object.assign(new Error("hunter2 is in /home/ann"), { details: { password: "hunter2" } }),
        new CageError("NAME_TAKEN", "the name is taken", { cause: new Error("hunter2") }),
      ];
      const { asker } = await serve(() => {
        throw thrown.shift();
      });
      const client = await asker();
      const fault = (await client.ask("you")) as Extract<Outcome, { code: string }>;
      expect(fault).toMatchObject({ code: "INTERNAL", message: expect.stringContaining("could not do this") });
      const refusal = (await client.ask("you")) as Extract<Outcome, { code: string }>;
      expect(refusal).toMatchObject({ code: "NAME_TAKEN", message: "the name is taken" });
      for (const { read } of [fault, refusal]) expect(read).not.toMatch(/hunter2|\.ts:\d|\n\s*at /);
    });

    it("runs new code for the next message of a connection that is open", async () => {
      const { asker, greeter } = await serve((who) => `hello, ${who}`);
      const client = await asker();
      expect(await client.ask("you")).toEqual({ answer: "hello, you" });
      greeter.hello = (who) => `good day, ${who}`;
      expect(await client.ask("you")).toEqual({ answer: "good day, you" });
    });

    it("finishes what runs when it drains, and takes no new connection", async () => {
      const { hello, begun, finish } = held();
      const { asker, door } = await serve(hello);
      const client = await asker();
      const running = client.ask("you");
      await expect.poll(() => begun.length).toBe(1);
      const drained = door.drain();
      await expect(dial(door.url as string)).rejects.toThrow("ECONNREFUSED");
      finish("done");
      if (!way.answersLater) expect(await running).toEqual({ answer: "done" });
      await drained;
      expect(begun[0]?.stopped).toBeUndefined();
    });

    it("takes no more input than it allows, and serves others on", async () => {
      const { asker } = await serve((who) => `${who.length}`, { options: way.small });
      const client = await asker();
      const greedy = client.flood?.() ?? client.ask("x".repeat(100_000));
      expect(await (await asker()).ask("you")).toEqual({ answer: "3" });
      expect(await greedy).toMatchObject({ code: expect.stringMatching(/TOO_LARGE|LOST/) });
    });

    it("cancels what a client asked that is gone", async () => {
      const { hello, begun } = held();
      const { asker } = await serve(hello, { options: way.impatient ?? {} });
      const client = await asker();
      void client.ask("you");
      await expect.poll(() => begun.length).toBe(1);
      client.leave();
      await expect.poll(() => begun[0]?.stopped, { timeout: 5_000 }).toMatchObject({ code: "CANCELLED" });
    });
  });
}
