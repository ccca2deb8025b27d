import { expect, test } from "vitest";
import { Listeners } from "../../../runtime/cage/listeners.ts";

const port = (handle: unknown): number => {
  const out: { port?: number } = {};
  (handle as { getsockname(out: { port?: number }): number }).getsockname(out);
  return out.port as number;
};
const any = { host: "127.0.0.1", port: 0 };

test("each port 0 is a port of its own, given back by the port it became", () => {
  const listeners = new Listeners();
  const [one, two] = [port(listeners.take(any)), port(listeners.take(any))];
  expect(one).not.toBe(two);
  listeners.release({ host: any.host, port: one });
  expect(port(listeners.take({ host: any.host, port: one }))).toBe(one);
  listeners.closeAll();
});

test("what a new worker does not take again is closed, so that nobody waits there for ever", () => {
  const listeners = new Listeners();
  const other = new Listeners();
  const kept = port(listeners.take(any));
  const left = port(listeners.take(any));
  listeners.forget();
  listeners.take({ host: any.host, port: kept });
  listeners.sweep();
  expect(typeof other.take({ host: any.host, port: left })).toBe("object");
  other.closeAll();
  listeners.closeAll();
});
