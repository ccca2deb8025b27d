/**
 * Log levels set live: which requests are logged more closely (or less), until when.
 *
 *     const levels = new Levels();
 *     levels.add({ level: "debug", principal: "42", forMs: 600_000 });     // ./cage level NAME debug --principal 42
 *
 * A request is looked at when it is made, when its label becomes known, and when it becomes known who asks; of the rules
 * that match, the newest decides. The level goes along with its calls, so one rule at the door shows what a request does
 * in all cages. A rule ends by itself, so that none is forgotten; rules are of the process, and end with it.
 */
import { CageError } from "../errors.ts";
import type { LogLevel, Request } from "./request.ts";

/** All that are given must hold; none given: every request. */
export interface LevelConditions {
  /** "GET /orders/:id"; one that ends with `*` holds for all that begin so. */
  readonly label?: string | undefined;
  /** An id or name of who asks; of a cage, its name or "node.cage". */
  readonly principal?: string | undefined;
  /** 32 hex digits. */
  readonly trace?: string | undefined;
  /** The peer's address or instance. */
  readonly from?: string | undefined;
}

export interface LevelRule extends LevelConditions {
  readonly level: LogLevel;
  /** Wall clock, ms: for people. */
  readonly endsAt: number;
}

/** Every request is held against every rule; a person at work has a few. */
const maxRules = 50;

export class Levels {
  readonly #clock: () => number;
  #rules: LevelRule[] = [];

  constructor(clock: () => number = Date.now) {
    this.#clock = clock;
  }

  /** Whether there is anything to look at: the branch that requests take when there is not. */
  get any(): boolean {
    return this.#rules.length > 0;
  }

  /** Those in force, oldest first. */
  list(): readonly LevelRule[] {
    const at = this.#clock();
    if (this.#rules.some((rule) => rule.endsAt <= at)) this.#rules = this.#rules.filter((rule) => rule.endsAt > at);
    return this.#rules;
  }

  /** One with the same conditions is replaced. */
  add({ forMs, ...rule }: LevelConditions & { readonly level: LogLevel; readonly forMs: number }): LevelRule {
    const same = (other: LevelRule) => conditions.every((name) => other[name] === rule[name]);
    const others = this.list().filter((other) => !same(other));
    if (others.length >= maxRules)
      throw new CageError("TOO_MANY", `there are ${maxRules} rules already; end them with ./cage level NAME off`);
    const made = { ...rule, endsAt: this.#clock() + forMs };
    this.#rules = [...others, made];
    return made;
  }

  /** Ends all; answers how many there were. */
  clear(): number {
    const { length } = this.list();
    this.#rules = [];
    return length;
  }

  /** What is wanted of this request; undefined: nothing. */
  of(request: Pick<Request, "label" | "principal" | "trace" | "from">): LogLevel | undefined {
    return this.list().findLast((rule) => matches(rule, request))?.level;
  }
}

const conditions = ["label", "principal", "trace", "from"] as const;

function matches(rule: LevelRule, request: Pick<Request, "label" | "principal" | "trace" | "from">): boolean {
  return (
    (rule.label === undefined || isLike(request.label, rule.label)) &&
    (rule.principal === undefined || namesOf(request.principal).includes(rule.principal)) &&
    (rule.trace === undefined || request.trace.id === rule.trace) &&
    (rule.from === undefined || plain(request.from) === plain(rule.from))
  );
}

const isLike = (label: string, pattern: string): boolean =>
  pattern.endsWith("*") ? label.startsWith(pattern.slice(0, -1)) : label === pattern;

/** An IPv4 peer of a socket that listens on IPv6 as well. */
const plain = (address: string): string => (address.startsWith("::ffff:") ? address.slice(7) : address);

function namesOf(principal: unknown): string[] {
  if (typeof principal !== "object" || principal === null) return [String(principal)];
  const { id, name, node, cage } = principal as Readonly<Record<string, unknown>>;
  const names = [id, name, cage, node === undefined || cage === undefined ? undefined : `${node}.${cage}`];
  return names.filter((each) => each !== undefined).map(String);
}
