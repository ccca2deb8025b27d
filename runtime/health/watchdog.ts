/**
 * Names what blocks the event loop: which request, and the very lines.
 *
 *     const watchdog = startWatchdog({ place: (name, line, column) => "cages/shop/orders.ts:12:3" });
 *     ...   emits "loop.blocked" { durationMs, id, label, interface, generation, stack } when it is over
 *     watchdog.stop();
 *
 *     main thread    beat  beat  beat  =========== a long loop ===========  beat
 *     own thread       25 ms looks     |100 ms: pause, look at the frames, go on      told: 620 ms
 *
 * While the loop is held nothing on it can look, and afterwards nothing says who held it: hence a thread of its own, which
 * counts the main thread's beats. When they stop it attaches as a debugger would, pauses the code where it is, reads the
 * frames and asks in the innermost of them for the current request, and lets it go on: 2 ms for what takes 100 already,
 * and nothing at all while all is well. A native call (a hash, a query) cannot be paused; the pause comes as it returns, in
 * the line that made it. A loop that does not end is told on stderr, by the thread, since nobody else can.
 *
 * It holds its peace while a debugger is attached (a breakpoint is no fault), and where the process was merely not given
 * the processor: then the pause finds nothing but the beat itself.
 */
import { url as debuggerUrl } from "node:inspector";
import { Worker } from "node:worker_threads";
import { maybeCurrent } from "../request/request.ts";
import { events } from "./events.ts";

export interface WatchdogOptions {
  /** The author's place of a place in running code (both from 1), for people. */
  place?(name: string, line: number, column: number): string;
  /** Held for longer is told. Default 100 ms: what people begin to notice. */
  readonly blockedMs?: number;
}

interface Frame {
  readonly name: string;
  readonly url: string;
  readonly line: number;
  readonly column: number;
}

/** What the thread tells when the loop turns again. */
interface Told {
  readonly durationMs: number;
  readonly frames: readonly Frame[];
  /** JSON of what `whoKey` answers. */
  readonly who: string | undefined;
}

interface Who {
  readonly id: string;
  readonly interface: string;
  readonly label: string;
  readonly generation: number;
}

const beatMs = 25;
const framesShown = 12;
/** How the thread asks, from within a paused frame, for the request that runs. */
const whoKey = "cage.who";
const beatName = "cageBeat";

export function startWatchdog({ place = at, blockedMs = 100 }: WatchdogOptions = {}): { stop(): void } {
  const shared = new Int32Array(new SharedArrayBuffer(8));
  (globalThis as Record<symbol, unknown>)[Symbol.for(whoKey)] = who;
  const cageBeat = (): void => {
    Atomics.add(shared, 0, 1);
    Atomics.store(shared, 1, debuggerUrl() === undefined ? 0 : 1);
  };
  Object.defineProperty(cageBeat, "name", { value: beatName });
  const timer = setInterval(cageBeat, beatMs).unref();
  const settings = { shared, beatMs, blockedMs, whoKey, beatName, framesShown, stuckMs, title: process.title };
  const thread = new Worker(`(${watch.toString()})()`, {
    eval: true,
    workerData: settings,
    // It keeps a handful of numbers.
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4 },
  });
  thread.unref();
  thread.on("message", ({ durationMs, frames, who }: Told) => {
    const request = who === undefined ? undefined : (JSON.parse(who) as Who);
    const stack = frames.map(({ name, url, line, column }) => `    at ${name} (${place(url, line, column)})`);
    events.emit("loop.blocked", {
      durationMs,
      id: request?.id ?? "",
      interface: request?.interface ?? "process",
      label: request?.label ?? "outside any request",
      generation: request?.generation ?? 0,
      stack: stack.join("\n"),
    });
  });
  thread.on("error", (error) => {
    clearInterval(timer);
    events.emit("problem", { what: "the watch over the event loop ended", error });
  });
  return {
    stop() {
      clearInterval(timer);
      void thread.terminate();
    },
  };
}

/** A loop held for so long may never turn again. */
const stuckMs = 5_000;

const at = (name: string, line: number, column: number): string => `${name}:${line}:${column}`;

function who(): string | undefined {
  const request = maybeCurrent();
  if (request === undefined) return undefined;
  const { id, label, generation } = request;
  return JSON.stringify({ id, interface: request.interface, label, generation } satisfies Who);
}

/** The thread: its source is what it is started with, so it may use nothing from around it. */
function watch(): void {
  const { workerData, parentPort } = process.getBuiltinModule("node:worker_threads");
  const { Session } = process.getBuiltinModule("node:inspector");
  const { writeSync: write } = process.getBuiltinModule("node:fs");
  const settings = workerData as {
    shared: Int32Array;
    beatMs: number;
    blockedMs: number;
    stuckMs: number;
    whoKey: string;
    beatName: string;
    framesShown: number;
    title: string;
  };
  type Found = { frames: { name: string; url: string; line: number; column: number }[]; who: string | undefined };
  let beat = -1;
  let since = performance.now();
  let looked = false;
  let stuck = false;
  let found: Found | undefined;

  const look = (): void => {
    const session = new Session();
    const begun = since;
    session.connectToMainThread();
    const leave = (): void => {
      session.post("Debugger.resume");
      session.post("Debugger.disable", () => session.disconnect());
    };
    // A frame knows the number of its script only; their names come with being enabled.
    const names = new Map<string, string>();
    session.on("Debugger.scriptParsed", ({ params }) => names.set(params.scriptId, params.url));
    session.once("Debugger.paused", ({ params }) => {
      const frames = params.callFrames.slice(0, settings.framesShown);
      const [top] = frames;
      if (top === undefined || top.functionName === settings.beatName || begun !== since) return leave();
      const expression = `globalThis[Symbol.for(${JSON.stringify(settings.whoKey)})]?.()`;
      session.post(
        "Debugger.evaluateOnCallFrame",
        { callFrameId: top.callFrameId, expression, returnByValue: true, silent: true },
        (_, answer) => {
          const who = answer?.result.value as string | undefined;
          found = {
            who,
            frames: frames.map((frame) => ({
              name: frame.functionName || "(anonymous)",
              url: names.get(frame.location.scriptId) ?? "",
              line: frame.location.lineNumber + 1,
              column: (frame.location.columnNumber ?? 0) + 1,
            })),
          };
          leave();
        },
      );
    });
    session.post("Debugger.enable");
    session.post("Debugger.pause");
  };

  setInterval(() => {
    const now = Atomics.load(settings.shared, 0);
    const heldMs = performance.now() - since;
    if (now !== beat) {
      if (found !== undefined) parentPort?.postMessage({ durationMs: heldMs, ...found });
      beat = now;
      since = performance.now();
      looked = stuck = false;
      found = undefined;
      return;
    }
    if (Atomics.load(settings.shared, 1) === 1) return;
    if (!looked && heldMs > settings.blockedMs) {
      looked = true;
      look();
    }
    if (stuck || found === undefined || heldMs < settings.stuckMs) return;
    stuck = true;
    const [top] = found.frames;
    write(
      2,
      `${settings.title}: the event loop is held for ${Math.round(heldMs)} ms by ${found.who ?? "what runs outside any request"}, in ${top?.name} (${top?.url}:${top?.line})\n`,
    );
  }, settings.beatMs);
}
