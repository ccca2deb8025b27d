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
 * An unknown key is an error that names the nearest one, at any depth. Secrets stand here only by reference:
 * secret("name"). `./cage config NAME --why KEY` (explain.ts) tells where a value comes from.
 */
import { nearest } from "../../lib/nearest.ts";
import { z } from "../../lib/schema.ts";
import { addressOf } from "../engine/dial.ts";
import { type EngineConfig, type EngineOptions, engineOptions } from "../engine/options.ts";
import { CageError } from "../errors.ts";
import { type Answer, type Answers, checkAnswer, type Modules, parseAnswer } from "../interfaces/answers.ts";
import type { InterfaceProtocol } from "../interfaces/interface.ts";
import type { Range } from "../request/adaptive.ts";
import { defaultBackgroundLimits } from "../request/background.ts";
import type { Limits } from "../request/gate.ts";
import type { ResourceProtocol } from "../resources/resource.ts";
import type { Allow } from "./allow.ts";
import { type CallLimits, defaultCallLimits } from "./bulkheads.ts";
import { type CalledLimits, defaultCalledLimits } from "./calls.ts";
import type { CanaryOptions } from "./canary.ts";

/** What an interface or resource has beside the options of its protocol. */
export interface Named {
  readonly protocol: string;
  readonly [option: string]: unknown;
}

export interface CageConfig {
  /** The longest a request may take unless its interface says otherwise, in ms. */
  readonly timeoutMs?: number;
  /** Requests of one interface that run at once; more wait, by deadline. A range: found by itself (request/adaptive.ts). */
  readonly running?: number | Range;
  /** Requests of one interface that may wait; more are refused. */
  readonly waiting?: number;
  /**
   * Types are checked after a swap ("background", the default while files are watched), before it ("gate": a fault
   * refuses the reload), or not at all ("off").
   */
  readonly typecheck?: "off" | "background" | "gate";
  readonly interfaces?: Readonly<Record<string, Named>>;
  /**
   * Work begun with background(): so much runs at once, so much waits, and more is refused. Default 1,000 each, as of an
   * interface; every piece holds its generation and what it was begun with.
   */
  readonly background?: Partial<Limits>;
  /**
   * How other cages may call this one: at most so long a call, so many at once, so many in line. Default 60,000 ms, 4,096
   * and 4,096.
   */
  readonly called?: Partial<CalledLimits>;
  /** By the name of the cage that is called; one that is not named has room for 1,000, and 1,000 in line. */
  readonly calls?: Readonly<Record<string, Partial<CallLimits>>>;
  readonly resources?: Readonly<Record<string, Named>>;
  /** Values of the author's own, reached with `config()`. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** A new generation takes a share of the requests first, and is rolled back when it does worse (canary.ts). */
  readonly canary?: Partial<CanaryOptions>;
  /** Which cages may call which module of the api, "*" for every other; absent: any cage of the node (allow.ts). */
  readonly allow?: Allow;
  /**
   * Where this cage can be called from though nobody can connect to it: rpc interfaces of other cages ("host:port", or the
   * path of a socket) that name it in `reverse` (interfaces/rpc.ts). A connection to each is kept open from here.
   */
  readonly dial?: readonly string[];
  /**
   * The cage runs in so many processes, which share its listeners; default 1. For work that fills a processor: what a
   * module keeps in memory is each process's own.
   */
  readonly processes?: number;
  /**
   * What joins this node with others; default `{ kind: "local" }`, which is this host only. It stands in config/cluster.ts,
   * since all cages of a cluster share it, and takes effect at a start (engine/options.ts).
   */
  readonly engine?: EngineConfig;
  /** "gate": the cage's own tests (*.test.ts) run before each swap, and one that fails refuses it; never at a start. */
  readonly test?: "gate" | "off";
}

/** States a cage's configuration, keeping its exact type for `resources<typeof config>()`. */
export const defineCage = <const C extends CageConfig>(config: C): C => config;

const named = z.looseObject({ protocol: z.string() });

const runningLimit = z.union([
  z.int().min(1),
  z
    .strictObject({ min: z.int().min(1), max: z.int().min(1) })
    .refine(({ min, max }) => min <= max, "min is larger than max"),
]);

const shape = z.strictObject({
  timeoutMs: z
    .int()
    .min(1)
    .max(24 * 60 * 60 * 1000)
    .default(10_000),
  running: runningLimit.default(1_000),
  waiting: z.int().min(0).default(1_000),
  background: z
    .strictObject({
      running: runningLimit.default(defaultBackgroundLimits.running),
      waiting: z.int().min(0).default(defaultBackgroundLimits.waiting),
    })
    .prefault({}),
  called: z
    .strictObject({
      timeoutMs: z.int().min(1).default(defaultCalledLimits.timeoutMs),
      running: runningLimit.default(defaultCalledLimits.running),
      waiting: z.int().min(0).default(defaultCalledLimits.waiting),
    })
    .prefault({}),
  calls: z
    .record(
      z.string(),
      z.strictObject({
        running: runningLimit.default(defaultCallLimits.running),
        waiting: z.int().min(0).default(defaultCallLimits.waiting),
        timeoutMs: z.int().min(1).optional(),
      }),
    )
    .default({}),
  typecheck: z.enum(["off", "background", "gate"]).optional(),
  interfaces: z.record(z.string(), named).default({}),
  resources: z.record(z.string(), named).default({}),
  settings: z.record(z.string(), z.unknown()).default({}),
  // Beyond the processors there are they only take turns; the bound is for a slip of the finger.
  processes: z.int().min(1).max(64).default(1),
  test: z.enum(["gate", "off"]).default("off"),
  engine: engineOptions,
  dial: z
    .array(
      z.string().refine((text) => addressOf(text) !== undefined, 'say "host:port", or the absolute path of a socket'),
    )
    .default([]),
  allow: z.record(z.string(), z.array(z.string())).optional(),
  canary: z
    .strictObject({
      share: z.number().gt(0).max(1).default(0.1),
      requests: z.int().min(1).max(100_000).default(200),
      ms: z.int().min(1).default(60_000),
      errorRate: z.number().min(0).max(1).default(0.02),
      p95Factor: z.number().min(1).default(2),
    })
    .optional(),
});

/** What any interface may say beside its protocol's options: limits of its own, and what it answers with. */
const common = z.object({
  timeoutMs: z.int().min(1).optional(),
  running: runningLimit.optional(),
  waiting: z.int().min(0).optional(),
  answers: z.record(z.string().min(1), z.string()).default({}),
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
  readonly running: number | Range;
  readonly waiting: number;
  readonly answers: Answers;
}

export interface Plan {
  readonly interfaces: readonly PlannedInterface[];
  readonly resources: readonly Planned<ResourceProtocol<unknown, unknown>>[];
  readonly timeoutMs: number;
  /** undefined: as the way it was started suggests. */
  readonly typecheck: "off" | "background" | "gate" | undefined;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly running: number | Range;
  readonly waiting: number;
  readonly background: Limits;
  readonly called: CalledLimits;
  readonly calls: Readonly<Record<string, CallLimits>>;
  readonly test: "gate" | "off";
  readonly allow: Allow | undefined;
  readonly canary: CanaryOptions | undefined;
  readonly dial: readonly string[];
  readonly processes: number;
  readonly engine: EngineOptions;
}

export interface Protocols {
  readonly interfaces: Readonly<Record<string, () => Promise<InterfaceProtocol<never>>>>;
  readonly resources: Readonly<Record<string, () => Promise<ResourceProtocol<never, unknown>>>>;
}

export interface Layers {
  readonly defaults?: unknown;
  readonly cluster?: unknown;
  readonly own?: unknown;
  /** Above the environment: what a test wants different. */
  readonly over?: readonly unknown[];
}

/** One level of the precedence, lowest first. */
export interface Layer {
  readonly from: "defaults" | "cluster" | "cage" | "environment" | "test";
  readonly file: string;
  readonly value: unknown;
}

export const layersOf = (cage: string, layers: Layers, env: NodeJS.ProcessEnv): readonly Layer[] => [
  { from: "defaults", file: "config/defaults.ts", value: layers.defaults },
  { from: "cluster", file: "config/cluster.ts", value: layers.cluster },
  { from: "cage", file: `config/${cage}.ts`, value: layers.own },
  { from: "environment", file: prefixOf(cage), value: fromEnvironment(cage, env) },
  ...(layers.over ?? []).map((value): Layer => ({ from: "test", file: `config/${cage}.test.ts`, value })),
];

/** Where the value at a path stands: the highest layer that has it. */
export function layerAt(all: readonly Layer[], path: readonly string[]): Layer | undefined {
  return all.findLast(({ value }) => valueAt(value, path) !== undefined);
}

export const valueAt = (value: unknown, path: readonly string[]): unknown =>
  path.reduce((at, key) => (isRecord(at) && Object.hasOwn(at, key) ? at[key] : undefined), value);

/** Says where, as its author wrote it; what is missing is missed in the cage's own file. */
type Where = (path: readonly string[]) => { readonly shown: string; readonly file: string | undefined };
function whereIn(cage: string, all: readonly Layer[]): Where {
  return (path) => {
    const { from, file } = layerAt(all, path) ?? { from: "cage", file: `config/${cage}.ts` };
    return from === "environment"
      ? { shown: [file, ...path].join("__"), file: undefined }
      : { shown: `${file}: ${path.join(".")}`, file };
  };
}

/**
 * Merges, validates, and finds the protocols. Throws CONFIG with the path of the fault and the remedy. `modules` are
 * those of the generation it is for: what `answers` name has to be there.
 */
export async function planOf(
  cage: string,
  layers: Layers,
  protocols: Protocols,
  env: NodeJS.ProcessEnv,
  modules?: Modules,
): Promise<Plan> {
  const all = layersOf(cage, layers, env);
  const where = whereIn(cage, all);
  const merged = all.map((layer) => layer.value).reduce<unknown>(merge, {});
  const config = parsed(shape, merged, where, []);
  const interfaces: PlannedInterface[] = [];
  for (const [name, given] of Object.entries(config.interfaces)) {
    const at = ["interfaces", name];
    const protocol = (await find(protocols.interfaces, given.protocol, where, at)) as InterfaceProtocol<unknown>;
    const { protocol: _, timeoutMs, running, waiting, answers, ...own } = given;
    const said = parsed(common, { timeoutMs, running, waiting, answers }, where, at);
    const options = parsed(protocol.options, own, where, at, Object.keys(common.shape));
    const limits = {
      timeoutMs: said.timeoutMs ?? config.timeoutMs,
      running: said.running ?? config.running,
      waiting: said.waiting ?? config.waiting,
    };
    interfaces.push({
      name,
      protocol,
      options,
      // With the limits that it has of the cage's: they may be what changed.
      key: keyOf({ ...given, ...limits }),
      ...limits,
      answers: answersOf(said.answers, protocol, options, modules, where, at),
    });
  }
  const resources: Planned<ResourceProtocol<unknown, unknown>>[] = [];
  for (const [name, given] of Object.entries(config.resources)) {
    const at = ["resources", name];
    const protocol = (await find(protocols.resources, given.protocol, where, at)) as ResourceProtocol<unknown, unknown>;
    const { protocol: _, ...options } = given;
    resources.push({ name, protocol, options: parsed(protocol.options, options, where, at), key: keyOf(given) });
  }
  const { timeoutMs, running, waiting, background, called, calls, processes } = config;
  const { settings, test, allow, typecheck, canary, dial, engine } = config;
  const random = interfaces.find((each) => (each.options as { port?: unknown }).port === 0);
  if (processes > 1 && random !== undefined)
    throw fault(where, ["interfaces", random.name, "port"], "processes share a port, so it needs a number of its own");
  const asked = interfaces.find((each) => ((each.options as { reverse?: readonly string[] }).reverse?.length ?? 0) > 0);
  if (processes > 1 && asked !== undefined)
    throw fault(
      where,
      ["interfaces", asked.name, "reverse"],
      "a cage that dials in reaches one process only, from which alone it can be called; say processes: 1",
    );
  const limits = { timeoutMs, running, waiting, background, called, calls, processes };
  return { interfaces, resources, ...limits, settings, test, allow, typecheck, canary, dial, engine };
}

function answersOf(
  texts: Readonly<Record<string, string>>,
  protocol: InterfaceProtocol<unknown>,
  options: unknown,
  modules: Modules | undefined,
  where: Where,
  at: readonly string[],
): Answers {
  const answers = new Map<string, Answer>();
  for (const [name, text] of Object.entries(texts)) {
    if (protocol.checkName === undefined)
      throw fault(
        where,
        [...at, "answers"],
        `protocol '${protocol.protocol}' asks for nothing, so it takes no answers`,
      );
    try {
      const answer = parseAnswer(text);
      protocol.checkName(name, answer, options);
      if (modules !== undefined) checkAnswer(answer, modules);
      answers.set(name, answer);
    } catch (error) {
      throw fault(where, [...at, "answers", name], (error as Error).message);
    }
  }
  return answers;
}

async function find<P>(
  table: Readonly<Record<string, () => Promise<P>>>,
  protocol: string,
  where: Where,
  at: string[],
): Promise<P> {
  const load = Object.hasOwn(table, protocol) ? table[protocol] : undefined;
  if (load !== undefined) return await load();
  throw fault(where, [...at, "protocol"], `there is no protocol '${protocol}'${hint(protocol, Object.keys(table))}`);
}

function parsed<T>(schema: z.ZodType<T>, value: unknown, where: Where, at: string[], also: string[] = []): T {
  const outcome = schema.safeParse(value);
  if (outcome.success) return outcome.data;
  // A misspelt key is why another one is missing: it is named first.
  const issue = outcome.error.issues.find((each) => each.code === "unrecognized_keys") ?? outcome.error.issues[0];
  const inside = (issue?.path ?? []).map(String);
  const path = [...at, ...inside];
  if (issue?.code === "unrecognized_keys") {
    const key = issue.keys[0] as string;
    const known = keysAt(schema, inside);
    const sentence = `unknown key${hint(key, inside.length === 0 ? [...known, ...also] : known)}`;
    throw fault(where, [...path, key], sentence);
  }
  throw fault(where, path, issue?.message ?? "invalid");
}

function fault(where: Where, path: readonly string[], sentence: string): CageError {
  const { shown, file } = where(path);
  return new CageError("CONFIG", `${shown}: ${sentence}`, file === undefined ? {} : { details: { file, path } });
}

/** The keys that a schema knows at a path into it; none where that cannot be said. */
function keysAt(schema: unknown, path: readonly string[]): string[] {
  const inner = bare(schema);
  const [key, ...rest] = path;
  if (inner instanceof z.ZodUnion) return inner.options.flatMap((option) => keysAt(option, path));
  if (inner instanceof z.ZodObject)
    return key === undefined ? Object.keys(inner.shape) : keysAt((inner.shape as Record<string, unknown>)[key], rest);
  if (key === undefined) return [];
  if (inner instanceof z.ZodRecord) return keysAt(inner.valueType, rest);
  return inner instanceof z.ZodArray ? keysAt(inner.element, rest) : [];
}

/** Without what says that it may be absent. */
function bare(schema: unknown): unknown {
  const wraps = [z.ZodOptional, z.ZodDefault, z.ZodPrefault, z.ZodNullable, z.ZodReadonly];
  let inner = schema;
  while (wraps.some((wrap) => inner instanceof wrap)) inner = (inner as z.ZodOptional).unwrap();
  return inner;
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

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && [Object.prototype, null].includes(Object.getPrototypeOf(value));

const prefixOf = (cage: string): string => `CAGE_CONFIG__${cage}`;

function fromEnvironment(cage: string, env: NodeJS.ProcessEnv): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(env)) {
    const path = name.split("__");
    if (path[0] !== "CAGE_CONFIG" || path[1] !== cage || path.length < 3 || text === undefined) continue;
    let row = out;
    for (const [depth, key] of path.slice(2, -1).entries()) {
      const inner = (row[key] ??= {});
      if (!isRecord(inner))
        throw new CageError(
          "CONFIG",
          `${name}: ${path.slice(0, depth + 3).join("__")} is set as well, to a single value`,
        );
      row = inner;
    }
    const last = path.at(-1) as string;
    if (isRecord(row[last]))
      throw new CageError("CONFIG", `${name}: there are variables inside it, and it is a single value`);
    row[last] = jsonOrText(text);
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
export const keyOf = (value: unknown): string =>
  JSON.stringify(value, (_, member: unknown) => (typeof member === "function" ? member.toString() : member));
