/**
 * A CSP session: two numbered streams of packets between a client and this server, over whatever carries them.
 *
 *     session.send(pack("hi"))        queued, delivered in order, kept until acknowledged, resent on each new carrier
 *     session.receive(packets)        the client's packets: each is told once and in order, however often it arrives
 *     session.attach(carrier)         the one way down; a new one completes the old one with nothing in it
 *
 *          receive null, close()             both nulls passed, or silence
 *     open ---------------------> closing ------------------------------------> gone
 *       |     silence: "timeout"                                                 ^
 *       +----------- more unacknowledged bytes than allowed: "slow" -------------+
 *
 * `listener.ended` is called once, on leaving `open`. A packet is never removed because it was written, only because
 * it was acknowledged: what died with a socket is still here. No I/O and no timers: the owner calls `sweep` now and
 * then, and `flush` at the end of a turn in which `listener.dirty` was called, so that one turn is one write.
 */
import { numbered, type Packed, theEnd, type UpstreamPacket } from "./packet.ts";

export type EndReason = "client" | "server" | "timeout" | "slow" | "drain";

/** What carries batches down: a long poll (good for one batch), a stream, later a WebSocket. */
export interface Carrier {
  /** Takes the encoded packets, oldest first, up to id `last`. False: it is used up, the session lets go of it. */
  deliver(packets: readonly string[], last: number): boolean;
  /** Ends it with an empty batch: its time is over, another took its place, or the server drains. */
  complete(): void;
  /** Asked about twice a second. False: it completed itself. */
  tick(nowMs: number): boolean;
}

export interface SessionListener {
  /** False: the application has too many packets waiting; the client is to send it again. */
  ready(): boolean;
  message(text: string): void;
  ended(reason: EndReason): void;
  dirty(session: Session): void;
  gone(session: Session): void;
}

export interface SessionLimits {
  readonly sessionTimeoutMs: number;
  readonly lingerMs: number;
  readonly maxBufferedBytes: number;
}

export class Session {
  readonly key: string;
  readonly #limits: SessionLimits;
  readonly #clock: () => number;
  #listener: SessionListener | undefined;
  #state: "open" | "closing" | "gone" = "open";
  #reason: EndReason | undefined;
  #silenceMs: number;
  #heardAtMs: number;
  #carrier: Carrier | undefined;
  #dirty = false;
  /** Unacknowledged packets, encoded; the first has the id `#firstId`. */
  #unacked: string[] = [];
  #firstId = 1;
  #bytes = 0;
  /** The highest id given to the present carrier. */
  #carried = 0;
  #received = 0;
  #peerEnded = false;
  #decoder: TextDecoder | undefined;

  constructor(key: string, clock: () => number, limits: SessionLimits) {
    this.key = key;
    this.#clock = clock;
    this.#limits = limits;
    this.#silenceMs = limits.sessionTimeoutMs;
    this.#heardAtMs = clock();
  }

  listen(listener: SessionListener): void {
    this.#listener = listener;
  }

  get state(): "open" | "closing" | "gone" {
    return this.#state;
  }

  carries(carrier: Carrier): boolean {
    return this.#carrier === carrier;
  }

  /** Bytes that may still be sent before the client counts as slow. */
  get room(): number {
    return this.#limits.maxBufferedBytes - this.#bytes;
  }

  get received(): number {
    return this.#received;
  }

  /** False when the session no longer takes any. */
  send(packed: Packed): boolean {
    if (this.#state !== "open") return false;
    this.#queue(packed);
    if (this.#bytes > this.#limits.maxBufferedBytes) {
      this.#leave("slow");
      this.#vanish();
      return false;
    }
    return true;
  }

  /** Ends it from this side: the null packet follows what was sent, and is resent until acknowledged. */
  close(reason: EndReason = "server"): void {
    if (this.#state !== "open") return;
    this.#leave(reason);
    this.#queue(theEnd);
  }

  /** Forgets it at once; the client's next request finds no session. */
  drop(reason: EndReason): void {
    if (this.#state === "open") this.#leave(reason);
    this.#vanish();
  }

  /** Everything up to `id` has arrived there. */
  acknowledge(id: number): void {
    const count = Math.min(id - this.#firstId + 1, this.#unacked.length);
    if (count <= 0) return;
    for (const packet of this.#unacked.splice(0, count)) this.#bytes -= packet.length;
    this.#firstId += count;
    if (this.#state === "closing" && this.#unacked.length === 0) this.#vanish();
  }

  /**
   * Takes what follows the last packet received; repeated ones are dropped. "busy": the application is behind, the
   * rest has to be sent again. A hole throws BAD_INPUT: the client lost something that can no longer come in order.
   */
  receive(packets: readonly UpstreamPacket[]): "ok" | "busy" {
    this.heard();
    for (const packet of packets) {
      if (packet.id <= this.#received || this.#state === "gone") continue;
      if (packet.id !== this.#received + 1)
        throw bad(`packet ${packet.id} arrived where ${this.#received + 1} has to be next`);
      if (this.#peerEnded) throw bad(`packet ${packet.id} arrived after the end`);
      if (packet.data === null) {
        this.#received = packet.id;
        this.#peerEnded = true;
        this.close("client");
        this.#silenceMs = this.#limits.lingerMs;
        continue;
      }
      if (this.#state === "open" && this.#listener?.ready() === false) return "busy";
      const text = this.#decode(packet.data);
      this.#received = packet.id;
      if (this.#state === "open") this.#listener?.message(text);
    }
    return "ok";
  }

  attach(carrier: Carrier): void {
    this.heard();
    const old = this.#carrier;
    this.#carrier = undefined;
    old?.complete();
    this.#carrier = carrier;
    this.#carried = this.#firstId - 1;
    this.flush();
  }

  /** The carrier died under us. Nothing is lost: its packets are unacknowledged. */
  detach(carrier: Carrier): void {
    if (this.#carrier !== carrier) return;
    this.#carrier = undefined;
    this.heard();
  }

  /** Gives the carrier what it has not had. */
  flush(): void {
    this.#dirty = false;
    const carrier = this.#carrier;
    const skip = this.#carried - this.#firstId + 1;
    if (carrier === undefined || skip >= this.#unacked.length) return;
    const last = this.#firstId + this.#unacked.length - 1;
    this.#carried = last;
    if (!carrier.deliver(skip > 0 ? this.#unacked.slice(skip) : this.#unacked.slice(), last)) this.detach(carrier);
  }

  /** Completes the open poll, so that the client comes again (perhaps to another process). */
  release(): void {
    const carrier = this.#carrier;
    this.#carrier = undefined;
    carrier?.complete();
    this.heard();
  }

  heard(): void {
    this.#heardAtMs = this.#clock();
  }

  sweep(nowMs: number): void {
    const carrier = this.#carrier;
    if (carrier !== undefined && !carrier.tick(nowMs)) this.detach(carrier);
    if (this.#carrier !== undefined || nowMs - this.#heardAtMs <= this.#silenceMs) return;
    if (this.#state === "open") {
      this.close("timeout");
      this.#heardAtMs = nowMs;
    } else this.#vanish();
  }

  #queue(packed: Packed): void {
    const packet = numbered(this.#firstId + this.#unacked.length, packed);
    this.#unacked.push(packet);
    this.#bytes += packet.length;
    if (this.#carrier === undefined || this.#dirty) return;
    this.#dirty = true;
    this.#listener?.dirty(this);
  }

  /** The payload is bytes: a character may be cut in two by the packets of an old client. */
  #decode(data: Buffer): string {
    if (this.#decoder === undefined) {
      if (data.every((byte) => byte < 0x80)) return data.toString("latin1");
      this.#decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    }
    try {
      return this.#decoder.decode(data, { stream: true });
    } catch (cause) {
      throw bad("a packet's text is not UTF-8", cause);
    }
  }

  #leave(reason: EndReason): void {
    this.#state = "closing";
    this.#reason = reason;
    this.#listener?.ended(reason);
  }

  #vanish(): void {
    if (this.#state === "gone") return;
    this.#state = "gone";
    this.#unacked = [];
    this.#bytes = 0;
    this.release();
    this.#listener?.gone(this);
  }

  get reason(): EndReason | undefined {
    return this.#reason;
  }
}

function bad(message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, { cause }), { code: "BAD_INPUT" });
}
