/**
 * A cage's configuration: config/NAME.ts over config/cluster.ts over config/defaults.ts, and the environment over all.
 * It is loaded like any module, so it belongs to a generation: a save that does not validate leaves the old one serving.
 *
 *     export const config = defineCage({
 *       interfaces: { web: { protocol: "http", port: 8080 } },
 *       resources: { shop_db: { protocol: "sqlite", file: "shop.sqlite" } },
 *     });
 *
 * From the environment: CAGE_CONFIG__shop__interfaces__web__port=9000 (a value is JSON, or else text).
 * An unknown key is an error that names the nearest one. Secrets stand here only by reference: secret("name").
 */
import { nearest } from "../../lib/nearest.ts";
import { z } from "../../lib/schema.ts";
import { CageError } from "../errors.ts";
import type { InterfaceProtocol } from "../interfaces/interface.ts";
import type { ResourceProtocol } from "../resources/resource.ts";

/** What an interface or resource has beside the options of its protocol. */
export interface Named {
  readonly protocol: string;
  readonly [option: string]: unknown;
}

export interface CageConfig {
  /** The longest a request may take unless its interface says otherwise, in ms. */
  readonly timeoutMs?: number;
  /** Requests of one interface that run at once; more wait, by deadline. */
  readonly running?: number;
  /** Requests of one interface that may wait; more are refused. */
  readonly waiting?: number;
  readonly interfaces?: Readonly<Record<string, Named>>;
  readonly resources?: Readonly<Record<string, Named>>;
  /** Values of the author's own, reached with `config()`. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

/** States a cage's configuration, keeping its exact type for `resources<typeof config>()`. */
export const defineCage = <const C extends CageConfig>(config: C): C => config;

const named = z.looseObject({ protocol: z.string() });

const shape = z.strictObject({
  timeoutMs: z
    .int()
    .min(1)
    .max(24 * 60 * 60 * 1000)
    .default(10_000),
  running: z.int().min(1).default(1_000),
  waiting: z.int().min(0).default(1_000),
  interfaces: z.record(z.string(), named).default({}),
  resources: z.record(z.string(), named).default({}),
  settings: z.record(z.string(), z.unknown()).default({}),
});

/** Limits that any interface may set for itself, beside its protocol's options. */
const interfaceLimits = z.object({
  timeoutMs: z.int().min(1).optional(),
  running: z.int().min(1).optional(),
  waiting: z.int().min(0).optional(),
});

export interface Planned<Protocol> {
  readonly name: string;
  readonly protocol: Protocol;
  readonly options: unknown;
  /** Equal keys mean equal configuration: what is open is kept. */
  readonly key: string;
}

export interface PlannedInterface extends Planned<InterfaceProtocol<unknown>> {
  readonly timeoutMs: number;
  readonly running: number;
  readonly waiting: number;
}

export interface Plan {
  readonly interfaces: readonly PlannedInterface[];
  readonly resources: readonly Planned<ResourceProtocol<unknown, unknown>>[];
  readonly timeoutMs: number;
  readonly settings: Readonly<Record<string, unknown>>;
}

export interface Protocols {
  readonly interfaces: Readonly<Record<string, () => Promise<InterfaceProtocol<never>>>>;
  readonly resources: Readonly<Record<string, () => Promise<ResourceProtocol<never, unknown>>>>;
}

export interface Layers {
  readonly defaults?: unknown;
  readonly cluster?: unknown;
  readonly own?: unknown;
}

/** Merges, validates, and finds the protocols. Throws CONFIG with the path of the fault and the remedy. */
export async function planOf(
  cage: string,
  layers: Layers,
  protocols: Protocols,
  env: NodeJS.ProcessEnv,
): Promise<Plan> {
  const file = `config/${cage}.ts`;
  const merged = [layers.defaults, layers.cluster, layers.own, fromEnvironment(cage, env)].reduce<unknown>(merge, {});
  const config = parsed(shape, merged, file, []);
  const interfaces: PlannedInterface[] = [];
  for (const [name, given] of Object.entries(config.interfaces)) {
    const at = ["interfaces", name];
    const protocol = (await find(protocols.interfaces, given.protocol, file, at)) as InterfaceProtocol<unknown>;
    const { protocol: _, timeoutMs, running, waiting, ...options } = given;
    const limits = parsed(interfaceLimits, { timeoutMs, running, waiting }, file, at);
    interfaces.push({
      name,
      protocol,
      options: parsed(protocol.options, options, file, at),
      key: keyOf(given),
      timeoutMs: limits.timeoutMs ?? config.timeoutMs,
      running: limits.running ?? config.running,
      waiting: limits.waiting ?? config.waiting,
    });
  }
  const resources: Planned<ResourceProtocol<unknown, unknown>>[] = [];
  for (const [name, given] of Object.entries(config.resources)) {
    const at = ["resources", name];
    const protocol = (await find(protocols.resources, given.protocol, file, at)) as ResourceProtocol<unknown, unknown>;
    const { protocol: _, ...options } = given;
    resources.push({ name, protocol, options: parsed(protocol.options, options, file, at), key: keyOf(given) });
  }
  return { interfaces, resources, timeoutMs: config.timeoutMs, settings: config.settings };
}

async function find<P>(
  table: Readonly<Record<string, () => Promise<P>>>,
  protocol: string,
  file: string,
  at: string[],
): Promise<P> {
  const load = Object.hasOwn(table, protocol) ? table[protocol] : undefined;
  if (load !== undefined) return await load();
  throw new CageError(
    "CONFIG",
    `${file}: ${at.join(".")}.protocol: there is no protocol '${protocol}'${hint(protocol, Object.keys(table))}`,
  );
}

function parsed<T>(schema: z.ZodType<T>, value: unknown, file: string, at: string[]): T {
  const outcome = schema.safeParse(value);
  if (outcome.success) return outcome.data;
  // A misspelt key is why another one is missing: it is named first.
  const issue = outcome.error.issues.find((each) => each.code === "unrecognized_keys") ?? outcome.error.issues[0];
  const path = [...at, ...(issue?.path ?? [])].map(String).join(".");
  if (issue?.code === "unrecognized_keys") {
    const key = issue.keys[0] as string;
    const known = schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
    throw new CageError("CONFIG", `${file}: ${path === "" ? key : `${path}.${key}`}: unknown key${hint(key, known)}`);
  }
  throw new CageError("CONFIG", `${file}: ${path}: ${issue?.message ?? "invalid"}`);
}

function hint(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  if (near !== undefined) return `; did you mean '${near}'?`;
  return known.length > 0 ? `; known are ${known.join(", ")}` : "";
}

/** Records are merged member by member; everything else is replaced by the later layer. */
function merge(below: unknown, above: unknown): unknown {
  if (above === undefined) return below;
  if (!isRecord(below) || !isRecord(above)) return above;
  const out: Record<string, unknown> = { ...below };
  for (const [key, value] of Object.entries(above))
    out[key] = merge(Object.hasOwn(out, key) ? out[key] : undefined, value);
  return out;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && [Object.prototype, null].includes(Object.getPrototypeOf(value));

function fromEnvironment(cage: string, env: NodeJS.ProcessEnv): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(env)) {
    const path = name.split("__");
    if (path[0] !== "CAGE_CONFIG" || path[1] !== cage || path.length < 3 || text === undefined) continue;
    let row = out;
    for (const key of path.slice(2, -1)) row = (row[key] ??= {}) as Record<string, unknown>;
    row[path.at(-1) as string] = jsonOrText(text);
  }
  return out;
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Functions (a keyspace's migrations) count by their source; secrets by their name. */
const keyOf = (value: unknown): string =>
  JSON.stringify(value, (_, member: unknown) => (typeof member === "function" ? member.toString() : member));
