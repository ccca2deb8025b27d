/**
 * A supervisor hands its instance over to another one, of a newer runtime:
 *
 *     old                                              new (its child at first, on its own afterwards)
 *     every listening socket, what serves --begin-->   starts workers of its own, that accept on the same sockets
 *                                         <--serves--
 *     its workers resign                   --yours-->  its workers succeed them; control socket and registry are its own
 *                                         <--taken---
 *     its workers drain, it ends
 *
 * Raw handles cross by child-process IPC only, so the new one is a child; detached, it lives on. At every moment one of the
 * two owns the instance. When the new one fails or is killed before `taken`, the old one goes on; when the old one is killed
 * before `yours`, the new one waits for its workers to drain and takes what is left.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { CageError } from "../errors.ts";
import type { Bequest, Listeners } from "./listeners.ts";
import type { Process } from "./process.ts";
import { resignMs, succeedMs } from "./rolling.ts";
import type { Seat } from "./seat.ts";

/** What both sides must understand; another one is refused, and a plain restart is the way. */
const version = 1;
/** Processes start side by side; a first start compiles the cage. */
const servesMs = 90_000;
const takenMs = 20_000;

interface Estate {
  readonly serving: number;
  readonly processes: number;
  /** Of the old one: a start after a kill waits until they are gone. */
  readonly workers: readonly (number | undefined)[];
}

type ToHeir =
  | { readonly kind: "socket"; readonly bequest: Bequest }
  | { readonly kind: "control" }
  | ({ readonly kind: "begin"; readonly version: number } & Estate)
  | { readonly kind: "yours"; readonly left: unknown };

type FromHeir =
  | { readonly kind: "serves" | "taken" }
  | { readonly kind: "failed"; readonly code: string; readonly message: string };

/** The new one, as the old one sees it. */
export class Heir {
  readonly #child: ChildProcess;
  readonly #said = new Set<string>();
  #failed: CageError | undefined;
  #look: () => void = () => {};

  constructor(program: string, given: object) {
    this.#child = spawn(process.execPath, [program], {
      detached: true,
      stdio: ["ignore", "ignore", "ignore", "ignore", "ipc"],
      env: { ...process.env, CAGE_SUPERVISOR: JSON.stringify({ ...given, heir: true }) },
    });
    this.#child.on("message", (message: FromHeir) => {
      if (message.kind === "failed") this.#failed ??= new CageError(message.code, message.message);
      else this.#said.add(message.kind);
      this.#look();
    });
    const ended = (why: string) => {
      this.#failed ??= new CageError("UNAVAILABLE", `the new supervisor ended (${why})`);
      this.#look();
    };
    this.#child.on("exit", (code, signal) => ended(signal ?? `exit code ${code}`));
    this.#child.on("error", (error) => ended(error.message));
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  begin(estate: Estate, sockets: readonly (readonly [Bequest, object])[], control: object): void {
    for (const [bequest, handle] of sockets) this.#tell({ kind: "socket", bequest }, handle);
    this.#tell({ kind: "control" }, control);
    this.#tell({ kind: "begin", version, ...estate });
  }

  yours(left: unknown): void {
    this.#tell({ kind: "yours", left });
  }

  /** Rejects with why it failed, or EXPIRED. */
  async says(what: "serves" | "taken", timeoutMs: number): Promise<void> {
    let late: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        late = setTimeout(() => reject(new CageError("EXPIRED", `it took over ${timeoutMs / 1000} s`)), timeoutMs);
        this.#look = () => {
          if (this.#said.has(what)) resolve();
          else if (this.#failed !== undefined) reject(this.#failed);
        };
        this.#look();
      });
    } finally {
      clearTimeout(late);
    }
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #tell(message: ToHeir, handle?: object): void {
    if (this.#child.connected) this.#child.send(message, handle as never);
  }
}

/** The old one's part, until the instance is the new one's. When that fails, all is as it was. */
export async function bequeath(
  heir: Heir,
  processes: readonly Process[],
  estate: Omit<Estate, "workers">,
  listeners: Listeners,
  seat: Seat,
): Promise<void> {
  let left: unknown[] = [];
  try {
    const workers = processes.map(({ pid }) => pid);
    heir.begin({ ...estate, workers }, listeners.bequeath(), seat.handle as object);
    await heir.says("serves", servesMs);
    left = await Promise.all(processes.map((each) => each.ask("process.resign", undefined, resignMs)));
    heir.yours(left[0]);
    await heir.says("taken", takenMs);
  } catch (error) {
    heir.kill();
    // Those that had resigned take up again what they had.
    for (const each of processes) each.ask("process.succeed", left[0] ?? {}, succeedMs).catch(() => {});
    const { code, message } = error as CageError;
    throw new CageError(code, `the new supervisor did not take over, the old one goes on: ${message}`, {
      cause: error,
    });
  }
}

/** What the new one is given. */
export interface Inheritance extends Estate {
  readonly sockets: readonly (readonly [Bequest, object])[];
  readonly control: object;
  /** What the old workers left; undefined when the old supervisor is gone without a word. */
  readonly yours: Promise<{ readonly left: unknown } | undefined>;
  say(kind: "serves" | "taken"): void;
  fail(error: { readonly code: string; readonly message: string }): Promise<void>;
}

/** In the new one's process: resolves when it may begin. */
export function inheritance(): Promise<Inheritance> {
  const sockets: (readonly [Bequest, object])[] = [];
  let control: object | undefined;
  let mine: (given: { left: unknown } | undefined) => void = () => {};
  const yours = new Promise<{ readonly left: unknown } | undefined>((resolve) => (mine = resolve));
  const tell = (message: FromHeir): Promise<void> =>
    new Promise((resolve) => (process.connected ? process.send?.(message, () => resolve()) : resolve()));
  return new Promise((resolve, reject) => {
    process.on("disconnect", () => {
      mine(undefined);
      reject(new CageError("UNAVAILABLE", "the old supervisor ended before it gave anything"));
    });
    process.on("message", (message: ToHeir, handle: object | undefined) => {
      if (message.kind === "socket") sockets.push([message.bequest, handle as object]);
      else if (message.kind === "control") control = handle;
      else if (message.kind === "yours") mine({ left: message.left });
      else {
        const fail = ({ code, message }: { code: string; message: string }) => tell({ kind: "failed", code, message });
        if (message.version !== version)
          return void fail({
            code: "CONFLICT",
            message: "the running supervisor hands over in another way; use ./cage restart",
          }).then(() => process.exit(1));
        const { serving, processes, workers } = message;
        const say = (kind: "serves" | "taken") => void tell({ kind });
        resolve({ serving, processes, workers, sockets, control: control as object, yours, say, fail });
      }
    });
  });
}
