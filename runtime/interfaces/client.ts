/**
 * One client of an interface, a connection or a session, and what it asked: when it is gone, that is cancelled, since
 * nobody is left to answer to.
 *
 *     const client = new Client(host, socket.remoteAddress);   leavesWith(socket, client);
 *     const answer = await client.serve({ label: "line" }, (module, request) => ...);
 */
import type { Socket } from "node:net";
import { outside, type Request } from "../request/request.ts";
import type { Handler, InterfaceHost, Work } from "./interface.ts";

const reason = "the client went away";

export class Client {
  readonly #host: InterfaceHost;
  readonly #from: string;
  /** What waits or runs. */
  readonly #asked = new Set<Request>();

  constructor(host: InterfaceHost, from: string | undefined) {
    this.#host = host;
    this.#from = from ?? "";
  }

  serve<T>(work: Work, handler: (module: Handler, request: Request) => Promise<T> | T): Promise<T> {
    let asked: Request | undefined;
    const accepted = (request: Request): void => {
      asked = request;
      this.#asked.add(request);
    };
    const forget = (): void => {
      if (asked !== undefined) this.#asked.delete(asked);
    };
    const answer = this.#host.serve({ from: this.#from, accepted, ...work }, handler);
    answer.then(forget, forget);
    return answer;
  }

  leave(): void {
    for (const request of this.#asked) request.cancel(reason);
  }
}

/**
 * A peer that ended its side may be gone, or have said all and be reading: TCP does not tell which until something is
 * written. Scripts that pipe one question in need their answer; so what was asked has this much longer, and no more.
 */
const halfClosedMs = 1_000;

/** The client is gone with its connection, or a moment after it ended its side of it. */
export function leavesWith(socket: Socket, client: Client): void {
  let late: NodeJS.Timeout | undefined;
  socket.once("end", () => {
    late = outside(() => setTimeout(() => client.leave(), halfClosedMs).unref());
  });
  socket.once("close", () => {
    clearTimeout(late);
    client.leave();
  });
}
