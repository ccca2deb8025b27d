/** ./cage call CAGE MODULE.FUNCTION [ARGUMENT ...]: one call, as another cage would make it. Arguments are JSON. */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { keysOf } from "../cage/keys.ts";
import { socketOf } from "../cage/paths.ts";
import { stopOf } from "../engine/engine.ts";
import { Joined } from "../engine/joined.ts";
import { CageError, Expired } from "../errors.ts";
import type { Command } from "./main.ts";

export const call: Command = {
  usage: "CAGE MODULE.FUNCTION [JSON ...] [--timeout MS]",
  summary: "call a function of a cage",
  options: { timeout: { type: "string" } },
  async run(given) {
    const [cage, path, ...texts] = given.words;
    if (cage === undefined || path === undefined)
      throw new CageError("BAD_INPUT", `call takes a cage and a function: ./cage call greeter greeter.hello '"you"'`);
    const timeoutMs = Number(given.flags["timeout"] ?? 10_000);
    if (!(timeoutMs > 0)) throw new CageError("BAD_INPUT", "--timeout takes milliseconds, for example --timeout 5000");
    const args = texts.map(json);
    const engine = new Joined({
      me: { node: hostname(), cage: "cli" },
      runDir: given.paths.run,
      stateDir: given.paths.state,
      socketOf: (name, process) => socketOf(given.paths, "rpc", name, process),
      keyOf: keysOf(given.paths, "cli"),
    });
    const trace = { id: randomBytes(16).toString("hex"), span: randomBytes(8).toString("hex") };
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Expired(`no answer within ${timeoutMs} ms`)), timeoutMs);
    try {
      const answer = await engine.call(
        { cage },
        path,
        args,
        { remainingMs: timeoutMs, trace, logLevel: "info" },
        stopOf(late.signal),
      );
      const forPrograms = given.flags["json"] === true;
      // JSON has no undefined.
      const shown = JSON.stringify(answer, plain, forPrograms ? 0 : 2) ?? (forPrograms ? "null" : "undefined");
      process.stdout.write(`${shown}\n`);
      return 0;
    } catch (error) {
      const { code, message } = error as CageError;
      throw new CageError(
        code === "TimeoutError" ? "EXPIRED" : (code ?? "INTERNAL"),
        `${code ?? "INTERNAL"}: ${message}`,
      );
    } finally {
      clearTimeout(timer);
      await engine.stop();
    }
  },
};

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new CageError("BAD_INPUT", `the argument ${text} is not JSON; a string needs quotes: '"${text}"'`);
  }
}

const plain = (_: string, value: unknown): unknown =>
  typeof value === "bigint"
    ? value.toString()
    : value instanceof Map
      ? Object.fromEntries(value)
      : value instanceof Set
        ? [...value]
        : value;
