/**
 * One worker process as its supervisor sees it: started, asked, told, and heard of when it ends.
 *
 *     const worker = new Process({ number: 1, workerFile, given, hear, say, died });
 *     await worker.ask("status", undefined, 1_000);
 *     worker.tell({ kind: "drain" });
 */
import { type ChildProcess, spawn } from "node:child_process";
import { CageError } from "../errors.ts";
import type { ToSupervisor, ToWorker } from "./link.ts";

export interface ProcessOptions {
  /** 1 is the first, which leads. */
  readonly number: number;
  readonly workerFile: string;
  /** What the worker is told of itself (worker.ts). */
  readonly given: object;
  readonly inspect: number | undefined;
  hear(message: Exclude<ToSupervisor, { kind: "answer" }>, from: Process): void;
  say(text: string, error: boolean): void;
  died(from: Process, why: string): void;
}

export class Process {
  readonly number: number;
  readonly #child: ChildProcess;
  readonly #asked = new Map<number, (message: Extract<ToSupervisor, { kind: "answer" }>) => void>();
  #nextAsk = 1;
  #gone = false;
  /** It serves. */
  ready = false;
  /** It was told to drain. */
  leaving = false;

  constructor({ number, workerFile, given, inspect, hear, say, died }: ProcessOptions) {
    this.number = number;
    const debug = inspect === undefined ? [] : [`--inspect=127.0.0.1:${inspect}`];
    this.#child = spawn(process.execPath, [...debug, workerFile], {
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      env: { ...process.env, CAGE_WORKER: JSON.stringify(given) },
    });
    const end = (why: string): void => {
      if (this.#gone) return;
      this.#gone = true;
      this.ready = false;
      for (const settle of this.#asked.values())
        settle({ kind: "answer", id: 0, error: { code: "UNAVAILABLE", message: "the worker ended" } });
      this.#asked.clear();
      died(this, why);
    };
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => say(text, false));
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => say(text, true));
    this.#child.on("message", (message: ToSupervisor) => {
      if (message.kind !== "answer") return hear(message, this);
      this.#asked.get(message.id)?.(message);
      this.#asked.delete(message.id);
    });
    this.#child.on("exit", (code, signal) => end(signal ?? `exit code ${code}`));
    this.#child.on("error", (error) => {
      say(`worker: ${error.message}\n`, true);
      // One that could not even be made (no memory, too many processes) never exits.
      if (this.#child.pid === undefined) end(error.message);
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Bounded: EXPIRED when it takes longer, UNAVAILABLE when it ends first. */
  async ask(verb: string, args: unknown, timeoutMs: number): Promise<unknown> {
    const id = this.#nextAsk++;
    return await new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.#asked.delete(id);
        reject(new CageError("EXPIRED", `the worker did not answer '${verb}' within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#asked.set(id, (message) => {
        clearTimeout(late);
        if (message.error) reject(new CageError(message.error.code, message.error.message));
        else resolve(message.value);
      });
      this.tell({ kind: "ask", id, verb, args });
    });
  }

  /** It serves no more: it finishes what it has begun, and ends. */
  drain(): void {
    this.ready = false;
    this.leaving = true;
    this.tell({ kind: "drain" });
  }

  tell(message: ToWorker, handle?: object): void {
    if (this.#child.connected) this.#child.send(message, handle as never);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}
