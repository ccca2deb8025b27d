/**
 * Nodes joined by NATS. Contract: beyond.ts.
 *
 *     tunnel.ts    a connection of two instances, for a session
 *     client.ts    the connection to the server, kept                bucket.ts   shared memory, in JetStream
 *     subjects.ts  who says what to whom
 *
 * Each instance says every second, at its start and to who asks that it is here, and when it leaves. The server says at once
 * when nobody listens to a message's subject, so one that was killed costs one round trip; one that was cut off is missed
 * by the session's beats.
 * Who sends is known by the subject, which the server's permissions prove; without permissions every member of the
 * cluster is trusted with the name it gives.
 *
 * A node's name belongs to one state directory. A second that comes with it is refused; when neither saw the other come
 * (both were cut off), the one with the larger id withdraws, and joins when the other has gone.
 */
import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { pack, unpack } from "../../../lib/pack.ts";
import { CageError, coded, Unavailable } from "../../errors.ts";
import { events } from "../../health/events.ts";
import type { Arrivals, Beyond, Far } from "../beyond.ts";
import type { Instance } from "../engine.ts";
import type { NatsOptions } from "../options.ts";
import { beatMs, Roster } from "../roster.ts";
import { Bucket } from "./bucket.ts";
import { Client } from "./client.ts";
import { type Address, Subjects } from "./subjects.ts";
import { message, messages, Tunnel } from "./tunnel.ts";

export interface NatsJoining {
  readonly options: NatsOptions;
  readonly me: Instance;
  /** Of the state directory: two with one name are two nodes. */
  readonly nodeId: string;
  /** The project's folder; files of the configuration are named from here. */
  readonly root: string;
}

/** What an instance says of itself. */
interface Here {
  readonly process: number;
  readonly nodeId: string;
  readonly leaving: boolean;
}

/** Those who are there answer within a millisecond or so; a busy one is heard a second later. */
const gatherMs = 100;
/** Of the two seconds in which a call goes elsewhere. */
const openMs = 1_000;
/** A peer that said nothing for so long was cut off, or is: it is not asked until it is heard again. */
const silentMs = 1_000;
/** Of one process: a hundred instances that call each other both ways need two hundred. */
const mostTunnels = 4_096;

export class Nats implements Beyond {
  readonly #given: NatsJoining;
  readonly #address: Address;
  readonly #process: number;
  readonly #subjects: Subjects;
  readonly #client: Client;
  readonly #bucket: Bucket;
  readonly #roster = new Roster();
  /** Others with this node's name, and the beats since they were heard. */
  readonly #rivals = new Map<string, number>();
  /** By the subject of what comes through them. */
  readonly #tunnels = new Map<string, Tunnel>();
  #arrivals: Arrivals | undefined;
  #beating: NodeJS.Timeout | undefined;
  #leaving = false;
  /** It may not join. */
  #refused: CageError | undefined;
  #announcing = false;
  #joining: Promise<void> | undefined;

  constructor(given: NatsJoining) {
    const { options, me, root } = given;
    const id = randomBytes(9).toString("base64url");
    this.#given = given;
    this.#process = me.process ?? 1;
    this.#address = { node: me.node, cage: me.cage, id };
    this.#subjects = new Subjects(options.prefix, this.#address);
    this.#client = new Client({
      options,
      root,
      name: `${me.node}.${me.cage}${this.#process === 1 ? "" : `#${this.#process}`}`,
      inbox: this.#subjects.inbox,
      up: () => this.#join(),
      down: (why) => this.#cutOff(why),
      denied: (subject) => this.#denied(subject),
    });
    this.#bucket = new Bucket({ client: this.#client, prefix: options.prefix, replicas: options.replicas });
  }

  async start(arrivals: Arrivals): Promise<void> {
    this.#arrivals = arrivals;
    this.#client.subscribe(this.#subjects.toMe, (subject, data, gone) => this.#told(subject, data, gone));
    this.#client.subscribe(this.#subjects.everyHere, (subject, data) => this.#heard(subject, data));
    this.#client.subscribe(this.#subjects.everyAsk, (subject) => this.#asked(subject));
    this.#beating = setInterval(() => this.#beat(), beatMs).unref();
    try {
      await this.#client.start();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  instances(cage?: string): readonly Far[] {
    return this.#roster.instances(cage);
  }

  async look(): Promise<void> {
    // On a new connection those who are there have to answer first.
    await this.#joining?.catch(() => {});
    this.#ensureAllowed();
    await this.#client.flush();
  }

  async open(to: Far): Promise<Duplex> {
    this.#ensureUp();
    const name = randomBytes(9).toString("base64url");
    const tunnel = this.#tunnel(to, name);
    tunnel.begin();
    const late = setTimeout(() => {
      this.#roster.forget(to.id);
      tunnel.destroy(new Unavailable(`${to.cage} on node ${to.node} did not answer within ${openMs} ms`));
    }, openMs).unref();
    try {
      await tunnel.accepted;
    } finally {
      clearTimeout(late);
    }
    return tunnel;
  }

  publish(subject: string, data: Uint8Array): void {
    const most = this.#client.maxPayload;
    if (data.length > most)
      throw new CageError(
        "TOO_LARGE",
        `what is published on ${subject} is ${data.length} bytes; the NATS server takes up to ${most} (max_payload)`,
      );
    if (this.#refused === undefined) this.#client.publish(this.#subjects.event(subject), data);
  }

  subscribe(pattern: string): () => void {
    return this.#client.subscribe(this.#subjects.everyEvent(pattern), (subject, data) => {
      const { node, cage } = this.#subjects.senderOf(subject).sender;
      // Those of this host hear each other without it.
      if (node !== this.#address.node) this.#arrivals?.event({ node, cage }, pattern, unpack(data));
    });
  }

  get kv(): Beyond["kv"] {
    return this.#bucket.kv;
  }

  async drain(): Promise<void> {
    if (this.#leaving) return;
    this.#leaving = true;
    this.#announce();
    await this.#client.flush().catch(() => {});
  }

  async stop(): Promise<void> {
    clearInterval(this.#beating);
    await this.drain();
    // The last words of the sessions leave with this turn of the event loop.
    await new Promise(setImmediate);
    await this.#client.flush().catch(() => {});
    const why = new Unavailable("this side stopped");
    for (const tunnel of [...this.#tunnels.values()]) tunnel.destroy(why);
    await this.#client.stop();
  }

  // --- who is there ------------------------------------------------------------------------------------------------

  /** On a new connection. Rejects when this node may not join. */
  #join(): Promise<void> {
    this.#joining = this.#gather();
    return this.#joining;
  }

  async #gather(): Promise<void> {
    this.#client.publish(this.#subjects.ask, Buffer.alloc(0));
    await this.#client.flush().catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, gatherMs));
    if (this.#rivals.size > 0) throw this.#withdraw();
    this.#refused = undefined;
    this.#announcing = true;
    this.#announce();
    await this.#client.flush().catch(() => {});
  }

  #withdraw(): CageError {
    const { node } = this.#address;
    this.#announcing = false;
    this.#refused = new CageError(
      "CONFIG",
      `another node of the cluster is called ${node} as well, with another state directory; give one of them a name of its own: CAGE_NODE=NAME ./cage start`,
    );
    this.#roster.clear();
    for (const tunnel of [...this.#tunnels.values()]) tunnel.destroy(this.#refused);
    return this.#refused;
  }

  #announce(): void {
    if (this.#announcing) this.#client.publish(this.#subjects.here, this.#said());
  }

  #said(): Uint8Array {
    const here: Here = { process: this.#process, nodeId: this.#given.nodeId, leaving: this.#leaving };
    return pack(here);
  }

  #asked(subject: string): void {
    const { sender } = this.#subjects.senderOf(subject);
    if (sender.id !== this.#address.id && this.#announcing && !this.#leaving)
      this.#client.publish(this.#subjects.hereTo(sender), this.#said());
  }

  #heard(subject: string, data: Uint8Array): void {
    const { sender } = this.#subjects.senderOf(subject);
    if (sender.id === this.#address.id) return;
    const { process, nodeId, leaving } = unpack(data) as Here;
    if (sender.node === this.#address.node) return this.#meet(nodeId, leaving);
    if (leaving) return this.#roster.forget(sender.id);
    if (this.#refused !== undefined) return;
    const far: Far = { ...sender, process };
    if (this.#roster.hear(far)) this.#arrivals?.there(far);
  }

  /** An instance of this node, or of one that calls itself so. */
  #meet(nodeId: string, leaving: boolean): void {
    if (nodeId === this.#given.nodeId) return;
    if (leaving) return void this.#rivals.delete(nodeId);
    const known = this.#rivals.has(nodeId);
    this.#rivals.set(nodeId, 0);
    if (known || !this.#announcing) return;
    const mine = this.#given.nodeId < nodeId;
    const what = mine ? "another node came with the name of this one" : "this node left the others";
    const error = mine
      ? new CageError("CONFIG", `another node calls itself ${this.#address.node} as well; it has to have another name`)
      : this.#withdraw();
    events.emit("problem", { what, error });
  }

  #beat(): void {
    this.#roster.beat();
    for (const [nodeId, missed] of this.#rivals)
      if (missed < 3) this.#rivals.set(nodeId, missed + 1);
      else this.#rivals.delete(nodeId);
    if (this.#refused !== undefined && this.#rivals.size === 0) void this.#join().catch(() => {});
    else if (!this.#leaving) this.#announce();
  }

  /** The connection is gone, and with it all that went through it. */
  #cutOff(why: Unavailable): void {
    this.#announcing = false;
    this.#roster.clear();
    this.#bucket.forget();
    for (const tunnel of [...this.#tunnels.values()]) tunnel.cut(why);
  }

  // --- tunnels -----------------------------------------------------------------------------------------------------

  #ensureAllowed(): void {
    if (this.#refused !== undefined) throw new Unavailable(this.#refused.message, { cause: this.#refused });
  }

  #ensureUp(): void {
    this.#ensureAllowed();
    if (this.#client.down !== undefined) throw this.#client.down;
    if (this.#tunnels.size >= mostTunnels)
      throw new CageError("OVERLOADED", `${mostTunnels} connections to other instances are open here`);
  }

  #told(subject: string, data: Uint8Array, gone: boolean): void {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
    const tunnel = this.#tunnels.get(subject);
    if (tunnel !== undefined) {
      if (!gone) return tunnel.receive(bytes);
      const { sender } = this.#subjects.senderOf(subject);
      this.#roster.forget(sender.id);
      return tunnel.cut(new Unavailable(`${sender.cage} on node ${sender.node} is gone`));
    }
    if (gone) return;
    const { sender, rest } = this.#subjects.senderOf(subject);
    if (this.#subjects.isHere(rest)) return this.#heard(subject, data);
    const [name = ""] = rest;
    if (bytes[0] === messages.open) this.#opened(sender, name);
    else if (bytes[0] !== messages.reset) this.#refuse(sender, name, "it knows nothing of this connection");
  }

  #opened(from: Address, name: string): void {
    try {
      if (this.#leaving || this.#arrivals === undefined) throw new Unavailable("this instance is leaving");
      this.#ensureUp();
    } catch (error) {
      return this.#refuse(from, name, coded(error).message);
    }
    const tunnel = this.#tunnel(from, name);
    tunnel.accept();
    this.#arrivals.accept(tunnel, { node: from.node, cage: from.cage });
  }

  #refuse(from: Address, name: string, why: string): void {
    this.#client.publish(this.#subjects.to(from, name), message(messages.reset, 0, why));
  }

  #tunnel(peer: Address, name: string): Tunnel {
    const [there, back] = [this.#subjects.to(peer, name), this.#subjects.from(peer, name)];
    const tunnel: Tunnel = new Tunnel({
      // With a subject for its reply, on which the server says when nobody listens any more: one that was killed is known
      // by the next message to it.
      maxPayload: this.#client.maxPayload,
      send: (bytes) => void this.#client.publish(there, bytes, back),
      onClose: () => {
        this.#tunnels.delete(back);
        if (tunnel.silentMs > silentMs) this.#roster.forget(peer.id);
      },
    });
    this.#tunnels.set(back, tunnel);
    return tunnel;
  }

  #denied(subject: string): void {
    const why = new CageError("FORBIDDEN", "the NATS server does not let this node send there; allow it for its user");
    this.#tunnels.get(this.#subjects.turned(subject))?.cut(why);
  }
}
