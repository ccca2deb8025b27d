import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CageError } from "../../../runtime/errors.ts";
import { events } from "../../../runtime/health/events.ts";
import { log, type OpenLog, openLog } from "../../../runtime/health/log.ts";
import { pretty } from "../../../runtime/health/pretty.ts";
import { recordEvents } from "../../../runtime/health/record.ts";
import { type Lease, type LogLevel, Request, run, type Services } from "../../../runtime/request/request.ts";

let dir: string;
let file: string;
let opened: OpenLog | undefined;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "log-"));
  file = join(dir, "shop", "shop.log");
});
afterEach(() => {
  opened?.close();
  opened = undefined;
  rmSync(dir, { recursive: true, force: true });
});

const lease: Lease = {
  id: 4,
  module: () => undefined,
  resource: () => undefined,
  config: undefined,
  again: () => lease,
  release() {},
};
const request = (logLevel: LogLevel) =>
  new Request({ services: {} as Services, lease, interface: "web", label: "GET /", timeoutMs: 1_000, logLevel });
/** Closes the log, so that everything is in the file. */
const lines = () => {
  opened?.close();
  opened = undefined;
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
};

describe("log", () => {
  it("writes one JSON line a record, with the request it belongs to", () => {
    opened = openLog({ file });
    const shop = request("info");
    run(shop, () => log.info("placed\nan order", { order: 7, level: "mine" }));
    log.warn("outside");
    expect(lines()).toEqual([
      {
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
        level: "info",
        message: "placed\nan order",
        request: shop.id,
        trace: shop.trace.id,
        interface: "web",
        generation: 4,
        fields: { order: 7, level: "mine" },
      },
      { time: expect.any(String), level: "warn", message: "outside" },
    ]);
  });

  it("follows the level of the request, not that of the process", () => {
    opened = openLog({ file, level: "warn" });
    log.info("unheard");
    run(request("debug"), () => log.debug("heard"));
    run(request("error"), () => log.warn("unheard"));
    log.error("heard too");
    expect(lines().map((line) => line["message"])).toEqual(["heard", "heard too"]);
  });

  it("keeps errors as data, hides secrets, and survives circles", () => {
    opened = openLog({ file });
    const circle: Record<string, unknown> = { name: "x" };
    circle["self"] = circle;
    log.error("failed", {
      error: new CageError("CONFLICT", "taken", { cause: new Error("why") }),
      password: "hunter2",
      user: { token: "abc", id: 1n },
      circle,
    });
    const [line] = lines();
    expect(line?.["fields"]).toMatchObject({
      error: {
        name: "CageError",
        code: "CONFLICT",
        message: "taken",
        stack: expect.any(String),
        cause: { message: "why" },
      },
      password: "(hidden)",
      user: { token: "(hidden)" },
    });
    expect(JSON.stringify(line)).not.toContain("hunter2");
  });

  it("rotates by size and keeps no more files than asked", () => {
    opened = openLog({ file, maxBytes: 10_000, keep: 2 });
    for (let n = 0; n < 400; n++) log.info(`line ${n}`, { text: "x".repeat(80) });
    lines();
    expect(readdirSync(join(dir, "shop")).sort()).toEqual(["shop.log", "shop.log.1", "shop.log.2"]);
    const numbers = ["shop.log.2", "shop.log.1", "shop.log"].flatMap((name) =>
      readFileSync(join(dir, "shop", name), "utf8")
        .trim()
        .split("\n")
        .map((line) => Number((JSON.parse(line) as { message: string }).message.slice(5))),
    );
    // Whole lines, in order, without a gap, up to the last.
    expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, n) => 400 - numbers.length + n));
    expect(numbers.length).toBeGreaterThan(100);
  });

  it("cuts a record that is too long, and it stays a record", () => {
    opened = openLog({ file });
    log.info("m".repeat(100_000), { big: "x".repeat(1_000_000) });
    const [line] = lines();
    expect(String(line?.["message"])).toHaveLength(8_192);
    expect(JSON.stringify(line).length).toBeLessThan(40_000);
  });

  it("announces each record", () => {
    opened = openLog({ file });
    const seen: unknown[] = [];
    const off = events.on("log", (record) => seen.push(record));
    log.info("hello", { a: 1 });
    off();
    expect(seen).toEqual([{ level: "info", message: "hello", fields: { a: 1 } }]);
  });

  it("records failures with their stack, but a repeated one only so often", () => {
    opened = openLog({ file });
    let at = 0;
    const stop = recordEvents(log, () => at);
    const fail = (error: unknown) =>
      events.emit("request.done", {
        interface: "web",
        label: "GET /",
        durationMs: 1,
        waitedMs: 0,
        generation: 1,
        error,
        id: "r",
      });
    for (let n = 0; n < 100; n++) fail(new Error("broken"));
    fail(new CageError("NOT_FOUND", "nobody's fault"));
    at += 61_000;
    fail(new Error("broken"));
    events.emit("reload.failed", {
      files: ["a.ts"],
      file: "a.ts",
      error: undefined,
      message: "oops",
      frame: "> 1 | (",
    });
    stop();
    const written = lines();
    expect(written).toHaveLength(12);
    expect(written[10]).toMatchObject({
      message: "GET /: broken",
      fields: { heldBack: 90, error: { message: "broken" } },
    });
    expect(written[11]).toMatchObject({ level: "error", fields: { file: "a.ts", frame: "> 1 | (" } });
  });

  it("is not stopped by a disk that cannot be written", () => {
    // A file stands where the directory should be.
    writeFileSync(join(dir, "shop"), "");
    opened = openLog({ file });
    for (let n = 0; n < 10; n++) log.info("into nothing");
    opened.flush();
    rmSync(join(dir, "shop"));
    log.info("mended");
    expect(lines().map((line) => line["message"])).toEqual(["mended"]);
  });
});

describe("pretty", () => {
  const line = (record: object) => JSON.stringify({ time: "2026-01-02T03:04:05.678Z", level: "info", ...record });

  it("shows a record on one line", () => {
    const text = pretty(
      line({ message: "placed", interface: "web", generation: 3, request: "ab-1", fields: { order: 7, why: "a b" } }),
    );
    expect(text).toMatch(/^\d\d:\d\d:05\.678 INFO {2}web@3 placed order=7 why="a b" ab-1$/);
  });

  it("shows the stack of an error below it", () => {
    const error = { message: "broken", stack: "Error: broken\n    at a (x.ts:1:2)\n    at b (y.ts:3:4)" };
    expect(
      pretty(line({ message: "failed", fields: { error } }))
        .split("\n")
        .slice(1),
    ).toEqual(["    at a (x.ts:1:2)", "    at b (y.ts:3:4)"]);
  });

  it("lets nobody's text steer the terminal", () => {
    const text = pretty(line({ message: "\u001b[2Jgone\r", fields: { "\u0007k": "\u009b1m" } }));
    expect(text).not.toMatch(/\p{Cc}/u);
    expect(text).toContain("\\x1b[2Jgone\\x0d");
    expect(pretty("plain \u001b[0m output")).toBe("plain \\x1b[0m output");
  });

  it("colours when asked", () => {
    expect(pretty(line({ message: "m", level: "error" }), { colour: true })).toContain("\u001b[31mERROR\u001b[0m");
  });
});
