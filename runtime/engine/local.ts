/**
 * The instances of one host: unix sockets between processes, nothing to install.
 *
 * Each process of a cage listens on a socket named by cage and process (the supervisor holds it, so a call made while a
 * worker restarts waits in the kernel instead of failing). Who runs is a directory: each supervisor keeps one small file
 * beside its socket.
 */
import { readdirSync, readFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { CageError } from "../errors.ts";
import type { Instance } from "./engine.ts";

export interface LocalOptions {
  /** Where the sockets and the registry are. */
  readonly runDir: string;
  socketOf(cage: string, process: number): string;
  /** Makes the server accept on a unix socket; absent for a client that serves nothing (the CLI). */
  listen?(server: Server, path: string): Promise<void>;
}

export class Local {
  readonly #options: LocalOptions;
  /** Connected, or not even that, and not greeted yet: a hung cage must not hold up who stops waiting for it. */
  readonly #dialling = new Set<Socket>();
  #server: Server | undefined;

  constructor(options: LocalOptions) {
    this.#options = options;
  }

  async start({ cage, process = 1 }: Instance, accept: (socket: Socket) => void): Promise<void> {
    this.#server = createServer(accept);
    await this.#options.listen?.(this.#server, this.#options.socketOf(cage, process));
  }

  /** The instances by the supervisors' files. */
  registered(): readonly Required<Instance>[] {
    const found: Required<Instance>[] = [];
    for (const name of readdirSync(this.#options.runDir)) {
      if (!name.endsWith(".json")) continue;
      try {
        const { node, cage, pid, processes } = JSON.parse(
          readFileSync(join(this.#options.runDir, name), "utf8"),
        ) as Instance & { pid: number; processes: readonly number[] };
        if (processes.length > 0 && alive(pid)) for (const process of processes) found.push({ node, cage, process });
      } catch {
        // Being written or removed this moment: it is not there yet, or not any more.
      }
    }
    return found;
  }

  /** Gives a connection to `use`, which is done with greeting when it resolves: until then `stop` ends it. */
  async connect<T>(cage: string, process: number, use: (socket: Socket) => Promise<T>): Promise<T> {
    const socket = connect(this.#options.socketOf(cage, process));
    this.#dialling.add(socket);
    try {
      await connected(socket, cage);
      return await use(socket);
    } finally {
      this.#dialling.delete(socket);
    }
  }

  /** No new connections. */
  drain(): void {
    this.#server?.close();
  }

  stop(): void {
    this.#server?.close();
    for (const socket of this.#dialling) socket.destroy(new Error("this engine stopped"));
  }
}

async function connected(socket: Socket, cage: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", (cause: NodeJS.ErrnoException) =>
      reject(
        cause.code === "ENOENT" || cause.code === "ECONNREFUSED"
          ? new CageError(
              "NO_SUCH_CAGE",
              `cage ${cage} does not run on this node; start it with ./cage start ${cage}`,
              { cause },
            )
          : new CageError("UNAVAILABLE", `cage ${cage} cannot be reached`, { cause }),
      ),
    );
  });
  socket.removeAllListeners("error");
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
