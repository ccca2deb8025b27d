/**
 * One worker process as its supervisor sees it: started, asked, told, and heard of when it ends.
 *
 *     const worker = new Process({ number: 1, workerFile, given, hear, say, died });
 *     await worker.serves(60_000);                          // LOAD, with what it said, when it ends first
 *     await worker.ask("status", undefined, 1_000);
 *     worker.drain();
 *     await worker.gone;
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

/** Why it does not start, in its own words. */
export interface StartFailure {
  readonly code: string;
  readonly message: string;
  readonly frame?: string;
}

export class Process {
  readonly number: number;
  readonly #child: ChildProcess;
  readonly #asked = new Map<number, (message: Extract<ToSupervisor, { kind: "answer" }>) => void>();
  #nextAsk = 1;
  #ended: string | undefined;
  #settled: () => void = () => {};
  /** It began to serve, or ended. */
  readonly #started: Promise<void>;
  readonly gone: Promise<void>;
  #left: () => void = () => {};
  /** It serves. */
  ready = false;
  /** It was told to drain. */
  leaving = false;
  failure: StartFailure | undefined;

  constructor({ number, workerFile, given, inspect, hear, say, died }: ProcessOptions) {
    this.number = number;
    this.#started = new Promise((resolve) => (this.#settled = resolve));
    this.gone = new Promise((resolve) => (this.#left = resolve));
    const debug = inspect === undefined ? [] : [`--inspect=127.0.0.1:${inspect}`];
    this.#child = spawn(process.execPath, [...debug, workerFile], {
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      env: { ...process.env, CAGE_WORKER: JSON.stringify(given) },
    });
    const end = (why: string): void => {
      if (this.#ended !== undefined) return;
      this.#ended = why;
      this.ready = false;
      for (const settle of this.#asked.values()) settle({ kind: "answer", id: 0, error: ended });
      this.#asked.clear();
      died(this, why);
      this.#settled();
      this.#left();
    };
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => say(text, false));
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => say(text, true));
    this.#child.on("message", (message: ToSupervisor) => {
      if (message.kind === "answer") {
        this.#asked.get(message.id)?.(message);
        this.#asked.delete(message.id);
        return;
      }
      if (message.kind === "ready" && !this.leaving) this.ready = true;
      if (message.kind === "failed") {
        const { message: sentence, frame } = message;
        this.failure = { code: "LOAD", message: sentence, ...(frame === undefined ? {} : { frame }) };
      }
      hear(message, this);
      if (message.kind === "ready") this.#settled();
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

  /** Resolves when it serves; rejects when it ends before, or is still starting after so long. */
  async serves(timeoutMs: number): Promise<void> {
    let late: NodeJS.Timeout | undefined;
    await Promise.race([this.#started, new Promise<void>((resolve) => (late = setTimeout(resolve, timeoutMs)))]);
    clearTimeout(late);
    if (this.ready) return;
    if (this.#ended === undefined) throw new CageError("EXPIRED", `it did not serve within ${timeoutMs / 1000} s`);
    const { code = "LOAD", message = `it ended while starting (${this.#ended})`, frame } = this.failure ?? {};
    throw new CageError(code, frame === undefined ? message : `${message}\n${frame}`);
  }

  /** Bounded: EXPIRED when it takes longer, UNAVAILABLE when it ends first. */
  async ask(verb: string, args: unknown, timeoutMs: number): Promise<unknown> {
    if (this.#ended !== undefined) throw new CageError(ended.code, ended.message);
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

const ended = { code: "UNAVAILABLE", message: "the worker ended" } as const;
