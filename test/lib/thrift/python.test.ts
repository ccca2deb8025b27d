import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect } from "vitest";
import { binary } from "../../../lib/thrift/binary.ts";
import { type ClientOptions, ClientSession } from "../../../lib/thrift/client.ts";
import { compact } from "../../../lib/thrift/compact.ts";
import type { Headers } from "../../../lib/thrift/header.ts";
import { needing } from "../../kit/needs.ts";
import { methodOf, path, type Serving, serve } from "./kit.ts";

const { describe, test } = needing("thrift", "thriftForPython");

describe("Apache's Python library", () => {
  let made: string;
  let ours: Serving | undefined;
  const theirs: ChildProcess[] = [];
  const python = (...args: string[]) =>
    spawn("/usr/bin/python3", [path("peer.py"), ...args], { env: { ...process.env, PYTHONPATH: made } });

  beforeAll(() => {
    made = mkdtempSync(join(tmpdir(), "thrift-py-"));
    execFileSync("thrift", ["-r", "--gen", "py", "-out", made, path("every.thrift")], { stdio: "ignore" });
  });
  afterAll(async () => {
    for (const child of theirs) child.kill();
    await ours?.stop();
    rmSync(made, { recursive: true, force: true });
  });

  /** Our client's connection to a server of theirs. */
  async function clientOf(mode: "server" | "header", options: ClientOptions = {}): Promise<ClientSession> {
    const child = python(mode);
    theirs.push(child);
    child.stderr?.resume();
    const [port] = await once(createInterface(child.stdout as NodeJS.ReadableStream), "line");
    const socket = connect({ port: Number(port), host: "127.0.0.1" });
    await once(socket, "connect");
    return new ClientSession(socket, options);
  }

  test("calls our server: every type, exceptions, oneway, multiplexed and not, strict and old envelopes, compact, header", async () => {
    ours = await serve();
    const peer = python("client", String(ours.port));
    let output = "";
    let errors = "";
    peer.stdout.on("data", (chunk) => (output += chunk));
    peer.stderr.on("data", (chunk) => (errors += chunk));
    const [status] = await once(peer, "close");
    expect(errors).toBe("");
    expect(status).toBe(0);
    expect(
      output
        .trim()
        .split("\n")
        .map((row) => JSON.parse(row)),
    ).toEqual([
      { strict: true, calls: "ok" },
      { strict: false, calls: "ok" },
      { compact: true, calls: "ok" },
      { header: "binary", packed: false, calls: "ok" },
      { header: "binary", packed: true, calls: "ok" },
      { header: "compact", packed: false, calls: "ok" },
      { header: "compact", packed: true, calls: "ok" },
      { unknown: 1 },
      {
        name: "scalars",
        kind: 3,
        seqid: 9,
        type: 7,
        message: "Echo.scalars.value > Scalars.flag is required, but was not sent",
      },
    ]);
    expect(ours.beside.filter((headers) => headers.size > 0).map((headers) => [...headers])).toEqual(
      ["binary False ö", "binary True ö", "compact False ö", "compact True ö"].map((note) => [
        ["note", note],
        ["empty", ""],
      ]),
    );
  });

  test("is called by our client: every type, exceptions and oneway, pipelined on one connection", async () => {
    const session = await clientOf("server");
    const call = (name: string, ...args: unknown[]) => session.call(methodOf(name), args, { multiplexed: true });
    const scalars = {
      flag: true,
      tiny: -128,
      small: 127,
      short_: -32768,
      medium: -2147483648,
      large: 9223372036854775807n,
      at: -9007199254740991,
      real: -0,
      text: "Привет 漢字 👩‍👩‍👧",
      blob: Uint8Array.from({ length: 256 }, (_, at) => at),
      color: -1,
    };
    const values: [string, unknown][] = [
      ["scalars", scalars],
      ["containers", { numbers: [1, -2], words: new Set(["a"]), ages: { ada: 36 }, names: new Map([[1, ["x"]]]) }],
      ["containers", { rows: [{}, { one: scalars }], bits: [[true], []], ids: new Set([-1n]), palette: { warm: [0] } }],
      ["node", { name: "root", weight: 5, children: [{ name: "leaf", weight: 7 }] }],
      ["defaults", { count: 1, name: "", color: 0, primes: [], on: false, ratio: 0, at: { x: 0, y: 0 } }],
      ["shape", { kind: "path", value: [{ x: 1, y: 2 }] }],
      ["empty", {}],
      ["real", Number.NaN],
      ["real", Number.NEGATIVE_INFINITY],
      ["numbers", Array.from({ length: 100_000 }, (_, at) => at)],
      ["text", ""],
    ];
    const answers = await Promise.all(values.map(([name, value]) => call(name, value)));
    expect(answers).toEqual(values.map(([, value]) => value));
    expect(await call("nothing")).toBeUndefined();
    await expect(call("refuse", "refused")).rejects.toMatchObject({
      name: "Refused",
      code: "TAKEN",
      message: "taken",
      details: { fields: { name: "other" } },
    });
    await expect(call("refuse", "gone")).rejects.toMatchObject({ name: "Gone", code: "Gone", details: { since: 7n } });
    await expect(call("fail", "x")).rejects.toMatchObject({ code: "INTERNAL", type: "INTERNAL_ERROR" });
    await call("tell", "one");
    expect(await call("told")).toEqual(["one"]);
    await session.drain();
  });

  for (const protocol of [binary, compact])
    for (const packed of [false, true])
      test(`is called over the header transport, with headers both ways: ${protocol.name}${packed ? ", packed" : ""}`, async () => {
        const session = await clientOf("header", { protocol, packed, transport: "header" });
        const beside: unknown[] = [];
        const call = (name: string, value: unknown, headers?: Headers) =>
          session.call(methodOf(name), [value], {
            multiplexed: true,
            ...(headers && { headers: () => headers }),
            answered: (headers) => beside.push(...headers),
          });
        const numbers = Array.from({ length: 10_000 }, (_, at) => at);
        const node = { name: "root", weight: 5, children: [{ name: "leaf", weight: 7 }] };
        expect(await Promise.all([call("numbers", numbers), call("node", node), call("flag", true)])).toEqual([
          numbers,
          node,
          true,
        ]);
        await expect(call("refuse", "refused")).rejects.toMatchObject({ name: "Refused", code: "TAKEN" });
        expect(beside).toEqual([]);
        const headers = new Map([
          ["note", "漢字"],
          ["empty", ""],
          ["long", "x".repeat(5000)],
        ]);
        expect(JSON.parse((await call("text", "headers", headers)) as string)).toEqual(Object.fromEntries(headers));
        expect(beside).toEqual([["answered", "yes"]]);
        // From here on the server packs, whatever the call was.
        await call("text", "pack");
        expect(await call("numbers", numbers)).toEqual(numbers);
        await session.drain();
      });
});
