/**
 * A connection to an address of the list: TLS with both certificates, then greeted. Whoever is there is proven to be the
 * node that the list says, and says that it is the cage and the process, or there is none.
 */
import { connect, type TLSSocket } from "node:tls";
import { Unavailable } from "../../errors.ts";
import { type Identity, provenBy, whyOf } from "./identity.ts";
import { type Here, here, lineOf, readLine, type Wanted } from "./line.ts";

export const alpn = "cage-nodes/1";

/** Of the two seconds in which a call goes elsewhere. */
export const greetMs = 1_000;

/** A process of a cage, as the list has it. */
export interface Listed {
  readonly node: string;
  readonly cage: string;
  readonly process: number;
  readonly host: string;
  readonly port: number;
}

export interface Greeted {
  readonly socket: TLSSocket;
  readonly here: Extract<Here, { cage: string }>;
}

/** Rejects with UNAVAILABLE within a second, or as soon as `socket` (given to `begun`) is destroyed. */
export async function knock(
  to: Listed,
  identity: Identity,
  said: Wanted,
  begun: (socket: TLSSocket) => void = () => {},
): Promise<Greeted> {
  const { host, port } = to;
  const socket = connect({
    ...identity.context,
    host,
    port,
    minVersion: "TLSv1.3",
    ALPNProtocols: [alpn],
    // Which node it is, is asked below: its certificate is not bound to an address.
    checkServerIdentity: () => undefined,
  });
  socket.setNoDelay(true);
  // Reasons that come when nobody waits for one any more.
  socket.on("error", () => {});
  begun(socket);
  const late = setTimeout(
    () => socket.destroy(new Unavailable(`nobody answered within ${greetMs} ms`)),
    greetMs,
  ).unref();
  try {
    await secured(socket);
    const answered = provenBy(socket);
    if (socket.alpnProtocol !== alpn) throw new Unavailable("it does not speak as a node of this release does");
    if (answered !== to.node) throw new Unavailable(`it is node ${answered}`);
    const answer = await readLine(socket, here);
    if ("refused" in answer) throw new Unavailable(`it refuses this node: ${answer.refused}`);
    if (answer.cage !== to.cage || answer.process !== to.process)
      throw new Unavailable(
        `it is process ${answer.process} of ${answer.cage}; mend engine.nodes in config/cluster.ts`,
      );
    socket.write(lineOf(said));
    return { socket, here: answer };
  } catch (cause) {
    socket.destroy();
    const why = cause instanceof Error ? whyOf(cause) : String(cause);
    throw new Unavailable(`${nameOf(to)} cannot be reached: ${why}`, { cause });
  } finally {
    clearTimeout(late);
  }
}

export const nameOf = ({ node, cage, process, host, port }: Listed): string =>
  `${node}.${cage}${process === 1 ? "" : `#${process}`} at ${host}:${port}`;

const secured = (socket: TLSSocket): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.once("secureConnect", resolve);
    socket.once("error", reject);
    socket.once("close", () => reject(new Unavailable("it closed the connection")));
  });
