/**
 * The control socket as the sign of who supervises an instance: one at a time has it, whoever finds it answered leaves it
 * alone, and it is the last thing that is given up.
 *
 *     const seat = new Seat(socketOf(paths, "ctl", "shop"), answer);
 *     await seat.take("shop");            // CONFLICT when somebody answers there
 *     await seat.inherit(handle);         // or from another supervisor, with what its seat.handle is
 *     seat.cede();                        // another has it: answered there from now on, under the same name
 *     seat.leave();
 */
import { chmodSync, rmSync } from "node:fs";
import type { Server } from "node:net";
import { getSystemErrorName } from "node:util";
import { CageError } from "../errors.ts";
import { alone } from "./claim.ts";
import { type Answer, askControl, serveControl } from "./control.ts";
import { bound } from "./listeners.ts";
import type { Status } from "./status.ts";

export class Seat {
  readonly #path: string;
  readonly #answer: Answer;
  #server: Server | undefined;
  /** For another supervisor, by IPC. */
  handle: object | undefined;

  constructor(path: string, answer: Answer) {
    this.#path = path;
    this.#answer = answer;
  }

  async take(cage: string): Promise<void> {
    await alone(`${this.#path}.lock`, async () => {
      await this.#mustBeFree(cage);
      const handle = bound(this.#path);
      if (typeof handle === "number")
        throw new CageError(
          "CONFLICT",
          `cannot bind ${this.#path}: ${getSystemErrorName(handle)}; is state/ writable?`,
        );
      // The directory keeps others out already; on a system that ignores that for sockets, this does.
      chmodSync(this.#path, 0o700);
      await this.inherit(handle);
    });
  }

  async inherit(handle: object): Promise<void> {
    const server = serveControl(this.#answer);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(handle, resolve);
    });
    this.#server = server;
    this.handle = handle;
  }

  cede(): void {
    this.#server?.close();
  }

  leave(): void {
    this.#server?.close();
    rmSync(this.#path, { force: true });
  }

  /** One that lies there unanswered was left by a supervisor that was killed. */
  async #mustBeFree(cage: string): Promise<void> {
    try {
      const status = (await askControl(this.#path, "status", undefined, 2_000)) as Status;
      throw new CageError("CONFLICT", `cage ${cage} already runs (pid ${status.pid ?? status.supervisor})`);
    } catch (error) {
      if ((error as CageError).code === "CONFLICT" || (error as CageError).code === "EXPIRED") throw error;
      rmSync(this.#path, { force: true });
    }
  }
}
