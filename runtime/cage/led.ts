/**
 * An interface that only one node has open: it is made and started anew each time that this one leads (lead.ts), and drained
 * when another does. The same node's other processes do not come here: the first alone opens it.
 */
import type { Interface, InterfaceHost } from "../interfaces/interface.ts";
import { Lead, type LeadOptions } from "./lead.ts";

export interface LedOptions extends Pick<LeadOptions, "node" | "kv"> {
  readonly host: InterfaceHost;
  create(): Interface;
}

export class Led implements Interface {
  readonly url = undefined;
  readonly #host: InterfaceHost;
  readonly #lead: Lead;
  #open: Interface | undefined;
  #forget: (() => void) | undefined;

  constructor({ host, node, kv, create }: LedOptions) {
    this.#host = host;
    this.#lead = new Lead({
      name: `${host.cage}.${host.name}`,
      node,
      kv,
      // Of a changed configuration the new interface leads, when the old one is done.
      wants: () => host.named,
      begin: async () => {
        this.#open = create();
        await this.#open.start();
      },
      end: async () => {
        const ended = this.#open;
        this.#open = undefined;
        await ended?.drain();
        await ended?.stop();
      },
    });
  }

  get status(): Readonly<Record<string, string | number | null>> {
    const { leader } = this.#lead;
    return { ...this.#open?.status, "led by": leader?.node ?? null, term: leader?.term ?? null };
  }

  get since(): number | undefined {
    return this.#lead.since;
  }

  claim(at: number): Promise<boolean> {
    return this.#lead.claim(at);
  }

  async start(): Promise<void> {
    // A commit calls back before the generation is the current one.
    this.#forget = this.#host.onSwap(() => setImmediate(() => this.#lead.look()));
    this.#lead.start();
  }

  async drain(): Promise<void> {
    this.#forget?.();
    await this.#lead.leave();
  }

  async stop(): Promise<void> {
    await this.#open?.stop();
  }
}
