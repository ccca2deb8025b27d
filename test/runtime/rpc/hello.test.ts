import { afterEach, describe, expect, it } from "vitest";
import type { CageError } from "../../../runtime/errors.ts";
import { kinds } from "../../../runtime/rpc/frame.ts";
import { type KeyOf, prove, verify } from "../../../runtime/rpc/hello.ts";
import { carry, keyOf, Sessions } from "../../kit/session.ts";

const sessions = new Sessions();
afterEach(() => sessions.end());
const why = (work: Promise<unknown>): Promise<[string, string]> =>
  work.then(
    () => ["no error", ""],
    (error: CageError) => [error.code, error.message],
  );
const older = { version: [1, 0], features: [] } as const;

describe("the handshake", () => {
  it("tells each side who the other is, and lets calls queue behind it", async () => {
    const { caller, callee } = await sessions.pair({ serve: async (from) => from });
    expect(await caller.call("m.f", [], carry)).toEqual({ node: "n", cage: "caller" });
    expect([(await caller.ready).cage, (await callee.ready).cage]).toEqual(["callee", "caller"]);
  });

  it("refuses a caller that cannot prove its name, before any call, and says so", async () => {
    const served: string[] = [];
    const serve = async () => void served.push("call");
    const wrong: KeyOf = (cage) => (cage === "caller" ? Buffer.from("a guess") : keyOf(cage));
    const { caller, callee } = await sessions.pair({ serve }, {}, { caller: { keyOf: wrong } });
    const [code, message] = await why(caller.call("m.f", [], carry));
    // The callee's words, or that it hung up: either may come first.
    if (code === "FORBIDDEN") expect(message).toMatch(/n\.caller could not prove it; .*restart it/);
    else expect(code).toMatch(/UNAVAILABLE|UNKNOWN_OUTCOME/);
    expect((await why(callee.ready))[0]).toBe("FORBIDDEN");
    expect(served).toEqual([]);
  });

  it("refuses a callee that cannot prove its name: arguments do not reach an impostor", async () => {
    const wrong: KeyOf = (cage) => (cage === "callee" ? Buffer.from("a guess") : keyOf(cage));
    const { caller } = await sessions.pair({}, {}, { callee: { keyOf: wrong } });
    expect((await why(caller.call("m.f", ["secret"], carry)))[0]).toBe("FORBIDDEN");
  });

  it("refuses who has no key at all", async () => {
    const none: KeyOf = (cage) => (cage === "stranger" ? undefined : keyOf(cage));
    const { callee } = await sessions.pair(
      {},
      {},
      { callee: { keyOf: none }, caller: { me: { node: "n", cage: "stranger" } } },
    );
    expect((await why(callee.ready))[0]).toBe("FORBIDDEN");
  });

  it("refuses calls before the proof", async () => {
    const { session, say } = await sessions.byHand({}, { proof: new Uint8Array(32) });
    say([kinds.call, 1, "m.f", [], 5, "t", "s", "info", null]);
    expect((await why(session.ready))[0]).toBe("FORBIDDEN");
  });

  it("takes a proof neither from its own maker, nor for another, nor again", () => {
    const nonces = { by: new Uint8Array(16).fill(1), to: new Uint8Array(16).fill(2) };
    const proving = { by: { node: "n", cage: "a" }, side: "dialled", to: "b", nonces } as const;
    const proof = prove(proving, keyOf);
    expect(() => verify(proof, proving, keyOf)).not.toThrow();
    const others = [
      { ...proving, side: "accepted" as const },
      { ...proving, to: "c" },
      { ...proving, by: { node: "n", cage: "b" } },
      { ...proving, by: { node: "m", cage: "a" } },
      { ...proving, nonces: { ...nonces, to: new Uint8Array(16).fill(3) } },
    ];
    for (const other of others) expect(() => verify(proof, other, keyOf)).toThrow(/could not prove it/);
  });

  it("refuses another major version with a sentence, at both sides", async () => {
    const { caller, callee } = await sessions.pair({}, {}, { caller: { speech: { version: [2, 0], features: [] } } });
    const said = [await why(caller.ready), await why(callee.ready)];
    for (const [code, message] of said) {
      expect(code).toBe("PROTOCOL");
      expect(message).toMatch(/speaks version .* upgrade the older one/);
    }
  });
});

describe("two releases during a rolling upgrade", () => {
  async function* three() {
    yield* [1, 2, 3];
  }
  const serve = async (
    _: unknown,
    path: string,
    args: readonly unknown[],
    __: unknown,
    ___: unknown,
    send: (items: AsyncIterable<unknown>) => Promise<void>,
  ) => (path === "stream" ? await send(three()) : args[0]);

  for (const [name, options] of Object.entries({
    "a newer caller": { callee: { speech: older } },
    "a newer callee": { caller: { speech: older } },
  })) {
    it(`call each other as ever, and only a stream is refused: ${name}`, async () => {
      const { caller } = await sessions.pair({ serve }, {}, options);
      expect(await caller.call("m.f", [{ a: 1 }], carry)).toEqual({ a: 1 });
      const [code, message] = await why(caller.call("stream", [], carry));
      expect([code, message]).toEqual([
        "PROTOCOL",
        expect.stringMatching(/^the answer is a stream, and .* is of a release without them; upgrade it$/),
      ]);
      if (name === "a newer caller")
        expect((await why(caller.call("m.f", [three()], carry)))[1]).toMatch(
          /^an argument of m\.f is a stream, and callee/,
        );
      expect(await caller.call("m.f", ["still here"], carry)).toBe("still here");
    });
  }
});

describe("a stranger", () => {
  it("may hold no more than a hello's worth of memory", async () => {
    const { peer, session } = await sessions.byHand({}, { proof: new Uint8Array(5_000) });
    expect(await why(session.ready)).toEqual(["PROTOCOL", expect.stringContaining("over the limit of 4096")]);
    peer.destroy();
  });
});
