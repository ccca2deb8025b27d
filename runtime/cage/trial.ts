/** What differs when a cage runs to be tested (runtime/testing): all else is the cage that serves. */
import type { Engine } from "../engine/engine.ts";
import type { Candidate } from "../modules/generation.ts";
import type { Plan } from "./config.ts";

export interface Over {
  /** Configuration over all other. */
  readonly config: readonly unknown[];
  /** Those that open; the others only have their module looked at. */
  readonly interfaces: readonly string[];
  /** Clients that stand for resources, which are then not opened. */
  readonly resources: Readonly<Record<string, unknown>>;
}

export interface Trial {
  /** Instead of the sockets to other cages. */
  readonly engine: Engine;
  /** Imports that only tests have. */
  readonly externals: Readonly<Record<string, object>>;
  /** Files that load beside the cage's own: its tests, and what they say of its configuration. */
  more(): Promise<readonly string[]>;
  over(candidate: Candidate): Over;
  /** Throws at a plan that would touch what is not the test's. */
  admit(plan: Plan): void;
}
