/**
 * Nodes joined by a list, over mutual TLS; nothing to install. Contract: beyond.ts; the wire: PROTOCOL.md.
 *
 *     // config/cluster.ts, the same on every node
 *     engine: {
 *       kind: "static",
 *       nodes: {
 *         east: { shop: "10.0.0.1:7201", till: "10.0.0.1:7202" },
 *         west: { till: "10.0.0.2:7202-7205" },                       // four processes
 *       },
 *     }
 *     // ./cage keys authority, once; ./cage keys node NAME for each, copied there
 *
 *     door.ts   who comes in      peer.ts   one of the list, watched      knock.ts   a connection to it
 *     identity.ts   certificates  line.ts   the greeting
 *
 * Each process listens on an address of its own, rather than a node on one: TLS ends where the call does, a cage that hangs
 * or restarts is in nobody else's way, no process in between has to be kept alive, and a firewall lets in what the list names.
 * It costs a line for each cage. The supervisor holds the address, as any listener, so that a rolling restart refuses nobody.
 *
 * It carries calls, streams, and who is there. Publishing, subscribing and shared memory are UNSUPPORTED, and say which
 * engine has them: done for this node alone they would look as if they worked.
 */
import { lookup } from "node:dns/promises";
import type { Server } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { CageError, Unavailable } from "../../errors.ts";
import type { Target } from "../../request/request.ts";
import type { Arrivals, Beyond, Far } from "../beyond.ts";
import { type Instance, upSubject } from "../engine.ts";
import { portsOf, type StaticOptions } from "../options.ts";
import { Roster } from "../roster.ts";
import { Door } from "./door.ts";
import { Identity } from "./identity.ts";
import type { Listed } from "./knock.ts";
import { Peer } from "./peer.ts";

export interface StaticJoining {
  readonly options: StaticOptions;
  readonly me: Instance;
  /** The project's folder; files of the configuration are named from here. */
  readonly root: string;
  /** Where certificates are when the configuration names none. */
  readonly keysDir: string;
  listen(server: Server, address: { readonly host: string; readonly port: number }): Promise<unknown>;
}

export class Static implements Beyond {
  readonly #given: StaticJoining;
  readonly #me: Required<Instance>;
  readonly #roster = new Roster();
  readonly #peers = new Map<string, Peer>();
  #identity: Identity | undefined;
  #door: Door | undefined;
  #arrivals: Arrivals | undefined;

  constructor(given: StaticJoining) {
    this.#given = given;
    this.#me = { process: 1, ...given.me };
  }

  async start(arrivals: Arrivals): Promise<void> {
    const { options, root, keysDir } = this.#given;
    const { node, cage, process } = this.#me;
    const own = options.nodes[node];
    if (own === undefined)
      throw new CageError(
        "CONFIG",
        `engine.nodes in config/cluster.ts has ${Object.keys(options.nodes).join(", ")} and not this node, ${node}; add it, or start as one of them: CAGE_NODE=NAME ./cage start`,
      );
    this.#arrivals = arrivals;
    const files = options.tls ?? {
      ca: join(keysDir, "ca.pem"),
      cert: join(keysDir, "node.pem"),
      key: join(keysDir, "node-key.pem"),
    };
    const identity = new Identity({ files, root, node });
    this.#identity = identity;
    const address = listedAt(node, cage, own[cage]).find((each) => each.process === process);
    if (address !== undefined) await this.#listen(identity, address);
    identity.watch(() => this.#door?.renew());
    for (const listed of listedIn(options.nodes, node))
      this.#peers.set(addressOf(listed), new Peer({ listed, me: this.#me, identity, ...this.#heard }));
    await Promise.all([...this.#peers.values()].map((peer) => peer.start()));
  }

  async #listen(identity: Identity, { host, port }: Listed): Promise<void> {
    const { node, cage, process } = this.#me;
    this.#door = new Door({
      identity,
      here: { cage, process },
      refusal: (from) => {
        if (from === node) return `node ${node} is this one; give the other a name and a certificate of its own`;
        if (Object.hasOwn(this.#given.options.nodes, from)) return undefined;
        return `node ${from} is not in engine.nodes of node ${node}`;
      },
      met: (from) => this.#peerOf(from)?.wake(),
      accept: (stream, from) => this.#arrivals?.accept(stream, from),
    });
    const at = this.#given.options.listen ?? host;
    try {
      // By number: the supervisor binds it, and knows no names.
      const { address } = await lookup(at);
      await this.#given.listen(this.#door.server, { host: address, port });
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      throw new CageError(
        code === "PORT_TAKEN" ? code : "CONFIG",
        `${cage} cannot listen on ${at}:${port} for other nodes (${message}); mend engine.nodes.${node}.${cage} in config/cluster.ts, or engine.listen where the listed address is not this host's own`,
        { cause },
      );
    }
  }

  readonly #heard = {
    came: (listed: Listed): void => {
      const far = farOf(listed);
      this.#roster.hear(far);
      this.#arrivals?.there(far);
      this.#arrivals?.event(far, upSubject, far.cage);
    },
    went: (listed: Listed): void => this.#roster.forget(addressOf(listed)),
  };

  #peerOf({ node, cage, process }: Required<Instance>): Peer | undefined {
    return [...this.#peers.values()].find(
      ({ listed }) => listed.node === node && listed.cage === cage && listed.process === process,
    );
  }

  instances(cage?: string): readonly Far[] {
    return this.#roster.instances(cage);
  }

  async look(to?: Target): Promise<void> {
    const meant = [...this.#peers.values()].filter(
      ({ listed }) =>
        (to === undefined || listed.cage === to.cage) && (to?.node === undefined || listed.node === to.node),
    );
    if (meant.length === 0) return;
    const looks = await Promise.allSettled(meant.map((peer) => peer.look()));
    const failed = looks.flatMap((look) => (look.status === "rejected" ? [look.reason as Error] : []));
    if (failed.length === looks.length) throw new Unavailable((failed[0] as Error).message, { cause: failed[0] });
  }

  async open(to: Far): Promise<Duplex> {
    const peer = this.#peers.get(to.id);
    if (peer === undefined) throw new Unavailable(`${to.cage} on node ${to.node} is not in the list`);
    return await peer.open();
  }

  publish(subject: string): void {
    // Who comes is seen to come.
    if (subject !== upSubject) throw needsNats("nothing can be published");
  }

  subscribe(pattern: string): () => void {
    if (pattern !== upSubject) throw needsNats("there is nothing to subscribe to");
    return () => {};
  }

  readonly kv: Beyond["kv"] = { read: noMemory, write: noMemory, cas: noMemory, remove: noMemory };

  async drain(): Promise<void> {
    this.#door?.drain();
  }

  async stop(): Promise<void> {
    this.#identity?.stop();
    for (const peer of this.#peers.values()) peer.stop();
    this.#door?.drain();
    await this.#door?.stop();
  }
}

const needsNats = (what: string): CageError =>
  new CageError(
    "UNSUPPORTED",
    `${what}: the static engine joins nodes for calls only; for more say engine: { kind: "nats", servers: [...] } in config/cluster.ts`,
  );

async function noMemory(): Promise<never> {
  throw needsNats("there is no memory that all share");
}

const addressOf = ({ host, port }: Listed): string => `${host}:${port}`;

const farOf = (listed: Listed): Far => ({
  node: listed.node,
  cage: listed.cage,
  process: listed.process,
  // Whoever is at an address takes the place of who was: calls go on to it.
  id: addressOf(listed),
});

/** Of a cage's line in the list; none without one. */
function listedAt(node: string, cage: string, text: string | undefined): readonly Listed[] {
  const { host = "", ports = [] } = text === undefined ? {} : (portsOf(text) ?? {});
  return ports.map((port, at) => ({ node, cage, process: at + 1, host, port }));
}

const listedIn = (nodes: StaticOptions["nodes"], except: string): readonly Listed[] =>
  Object.entries(nodes).flatMap(([node, cages]) =>
    node === except ? [] : Object.entries(cages).flatMap(([cage, text]) => listedAt(node, cage, text)),
  );
