/** What a loader is given: where the files are, and what the cage does for each candidate and each generation. */
import type { Generation } from "./generation.ts";

/** What the cage made ready for a candidate. */
export interface Prepared<A> {
  readonly attachment: A;
  /** Called right after the swap; synchronous, and does not throw. */
  commit(): void;
  /** The candidate was refused after all: close what was opened for it. */
  abort(): Promise<void>;
}

export interface LoaderOptions<A> {
  readonly root: string;
  readonly home: string;
  readonly cage: string;
  readonly stateDir: string;
  readonly externals: Readonly<Record<string, object>>;
  /** Validates configuration and opens what is new; a throw refuses the candidate. */
  prepare(candidate: Generation<A>, previous: Generation<A> | undefined): Promise<Prepared<A>>;
  /**
   * Asks the other processes of the cage to make it ready too; throws when one of them cannot. `kept` resolves when they can
   * read it. Without it there are no others.
   */
  agree?(candidate: Generation<A>, kept: () => Promise<void>): Promise<void>;
  /** Runs a module's hook inside a request on that generation. */
  runHook(generation: Generation<A>, hook: () => unknown): Promise<void>;
  /** The generation has ended: close what no later one uses. */
  dispose(generationId: number, attachment: A): Promise<void>;
  /** Files that load beside those of the cage's folder: its tests, when it runs for them. */
  more?(): Promise<readonly string[]>;
  /** For one candidate to evaluate: a top-level await that never ends must not block all later saves. */
  readonly loadTimeoutMs?: number;
  /** Another process leads, until `lead`: what serves is what that one kept, under its numbers, and nothing is written. */
  readonly follower?: boolean;
  /** Between looks at everything, for the sake of file systems that send no events. */
  readonly sweepMs?: number;
}
