import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect } from "vitest";
import { ClientSession } from "../../../lib/thrift/client.ts";
import { needing } from "../../kit/needs.ts";
import { methodOf, path, type Serving, serve } from "./kit.ts";

const { describe, test } = needing("thrift", "thriftForPython");

describe("Apache's Python library", () => {
  let made: string;
  let ours: Serving | undefined;
  let theirs: ChildProcess | undefined;
  const python = (...args: string[]) =>
    spawn("/usr/bin/python3", [path("peer.py"), ...args], { env: { ...process.env, PYTHONPATH: made } });

  beforeAll(() => {
    made = mkdtempSync(join(tmpdir(), "thrift-py-"));
    execFileSync("thrift", ["-r", "--gen", "py", "-out", made, path("every.thrift")], { stdio: "ignore" });
  });
  afterAll(async () => {
    theirs?.kill();
    await ours?.stop();
    rmSync(made, { recursive: true, force: true });
  });

  test("calls our server: every type, exceptions, oneway, multiplexed and not, strict and old envelopes, compact", async () => {
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
      { unknown: 1 },
      {
        name: "scalars",
        kind: 3,
        seqid: 9,
        type: 7,
        message: "Echo.scalars.value > Scalars.flag is required, but was not sent",
      },
    ]);
  });

  test("is called by our client: every type, exceptions and oneway, pipelined on one connection", async () => {
    theirs = python("server");
    theirs.stderr?.resume();
    const [port] = await once(createInterface(theirs.stdout as NodeJS.ReadableStream), "line");
    const socket = connect({ port: Number(port), host: "127.0.0.1" });
    await once(socket, "connect");
    const session = new ClientSession(socket);
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
});
