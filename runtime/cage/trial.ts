/** What differs when a cage runs to be tested (runtime/testing): all else is the cage that serves. */
import type { Engine } from "../engine/engine.ts";
import type { Candidate } from "../modules/generation.ts";
import type { Plan } from "./config.ts";

export interface Trial {
  /** Instead of the sockets to other cages. */
  readonly engine: Engine;
  /** Imports that only tests have. */
  readonly externals: Readonly<Record<string, object>>;
  /** Files that load beside the cage's own: its tests, and what they say of its configuration. */
  more(): Promise<readonly string[]>;
  /** Configuration over all other, and the interfaces that open; the others only have their module looked at. */
  over(candidate: Candidate): { readonly config: readonly unknown[]; readonly interfaces: readonly string[] };
  /** Throws at a plan that would touch what is not the test's. */
  admit(plan: Plan): void;
}
