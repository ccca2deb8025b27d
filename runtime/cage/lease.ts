/** A hold on a generation as a request has it: its modules, its resources, its settings. */
import { CageError } from "../errors.ts";
import type { Generation, Hold } from "../modules/generation.ts";
import type { Lease } from "../request/request.ts";
import type { Attachment } from "./cage.ts";

export const leaseOf = (generation: Generation<Attachment>): Lease => new Held(generation);

/** One a request, so a class: its methods are made once. */
class Held implements Lease {
  readonly id: number;
  readonly #generation: Generation<Attachment>;
  readonly #hold: Hold;

  constructor(generation: Generation<Attachment>) {
    this.id = generation.id;
    this.#generation = generation;
    this.#hold = generation.hold();
  }

  module(name: string): Readonly<Record<string, unknown>> | undefined {
    // Calls are answered by api.ts, not by a module named after an interface.
    return this.#generation.module(name) ?? (name === "rpc" ? noModule : undefined);
  }

  resource(name: string): unknown {
    const { resources } = this.#generation.attachment;
    const holding = resources.get(name);
    if (holding === undefined)
      throw new CageError(
        "CONFIG",
        `this cage has no resource '${name}'; it has ${[...resources.keys()].join(", ") || "none"}`,
      );
    return holding.value.client;
  }

  get config(): unknown {
    return this.#generation.attachment.plan.settings;
  }

  get allow(): Lease["allow"] {
    return this.#generation.attachment.plan.allow;
  }

  again(): Lease {
    return leaseOf(this.#generation);
  }

  release(): void {
    this.#hold.release();
  }
}

const noModule = Object.freeze({});
