/** Hosts (hosts.ts) that are joined by a NATS server. `remove` stops what was started. */
import type { Joined } from "../../runtime/engine/joined.ts";
import { Nats } from "../../runtime/engine/nats/nats.ts";
import { engineOptions, type NatsOptions } from "../../runtime/engine/options.ts";
import { Hosts } from "./hosts.ts";

export class Nodes {
  readonly #options: Partial<NatsOptions> & { readonly servers: readonly string[] };
  readonly #hosts = new Hosts();

  constructor(options: Partial<NatsOptions> & { readonly servers: readonly string[] }) {
    this.#options = options;
  }

  /** Not started. `state`: another state directory than the node's own. */
  join(node: string, cage: string, number = 1, more: Partial<NatsOptions> & { readonly state?: string } = {}): Joined {
    const { state = node, ...options } = more;
    const stated = engineOptions.parse({ kind: "nats", ...this.#options, ...options }) as NatsOptions;
    return this.#hosts.join(
      { node, cage, process: number },
      async ({ me }) => new Nats({ options: stated, me, nodeId: `the state of ${state}`, root: this.#hosts.folder }),
      state,
    );
  }

  remove(): Promise<void> {
    return this.#hosts.remove();
  }
}
