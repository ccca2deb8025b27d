/**
 * The effective configuration of a cage, value by value, with where each comes from and what it stands over:
 *
 *     interfaces.web.port   9000   environment CAGE_CONFIG__shop__interfaces__web__port   (over 8080 of config/shop.ts)
 *     interfaces.web.host   127.0.0.1   built in
 *
 * For people, as plain JSON. Secrets are shown by their name. Text that looks like one although it should not stand in a
 * configuration (a key called password, a URL with one, whatever replaces a secret) is hidden.
 */
import {
  isRecord,
  type Layer,
  type Layers,
  layerAt,
  layersOf,
  type Plan,
  type Protocols,
  planOf,
  valueAt,
} from "./config.ts";

export interface Explained {
  /** "interfaces.web.port" */
  readonly key: string;
  /** As JSON; what JSON cannot say (a function) by its kind. */
  readonly value: unknown;
  readonly from: Layer["from"] | "built in";
  /** The file or the variable; "" if built in. */
  readonly file: string;
  /** What lower layers say of it, nearest first. */
  readonly over: readonly { readonly from: Layer["from"]; readonly file: string; readonly value: unknown }[];
}

export async function explain(
  cage: string,
  layers: Layers,
  protocols: Protocols,
  env: NodeJS.ProcessEnv,
): Promise<readonly Explained[]> {
  const all = layersOf(cage, layers, env);
  const plan = await planOf(cage, layers, protocols, env);
  return leaves(effective(plan)).map(({ path, value }) => {
    const secret = all.some((layer) => isSecret(valueAt(layer.value, path)));
    const show = (each: unknown) => shown(path.at(-1) as string, each, secret);
    const stating = all.filter((layer) => valueAt(layer.value, path) !== undefined);
    // A limit that an interface leaves out is the cage's.
    const origin = stating.at(-1) ?? (isLimit(path) ? layerAt(all, path.slice(2)) : undefined);
    return {
      key: path.join("."),
      value: show(value),
      from: origin?.from ?? "built in",
      file: origin === undefined ? "" : fileOf(origin, stating.length > 0 ? path : path.slice(2)),
      over: stating
        .slice(0, -1)
        .reverse()
        .map((layer) => ({ from: layer.from, file: fileOf(layer, path), value: show(valueAt(layer.value, path)) })),
    };
  });
}

function effective({ interfaces, resources, settings, ...others }: Plan): Readonly<Record<string, unknown>> {
  const stated = ({ name, protocol, options }: Plan["interfaces"][number] | Plan["resources"][number]) =>
    [name, { protocol: protocol.protocol, ...(options as object) }] as const;
  const limited = (each: Plan["interfaces"][number]) => {
    const [name, options] = stated(each);
    const { timeoutMs, running, waiting } = each;
    return [name, { ...options, timeoutMs, running, waiting }] as const;
  };
  return {
    ...others,
    interfaces: Object.fromEntries(interfaces.map(limited)),
    resources: Object.fromEntries(resources.map(stated)),
    settings,
  };
}

const isLimit = (path: readonly string[]): boolean =>
  path[0] === "interfaces" && ["timeoutMs", "running", "waiting"].includes(path[2] as string);

const fileOf = ({ from, file }: Layer, path: readonly string[]): string =>
  from === "environment" ? [file, ...path].join("__") : file;

/** Records are walked, everything else is a value; an empty record is nothing. */
function leaves(value: unknown, path: readonly string[] = []): { path: readonly string[]; value: unknown }[] {
  if (value === undefined) return [];
  if (!isRecord(value) || isSecret(value)) return [{ path, value }];
  return Object.entries(value).flatMap(([key, each]) => leaves(each, [...path, key]));
}

const isSecret = (value: unknown): value is { name: string } =>
  typeof value === "object" && value !== null && typeof (value as { reveal?: unknown }).reveal === "function";

const hidden = '(hidden: say it by secret("name"))';
const telling = /pass(word|wd|phrase)?$|secret|token|api_?key|private_?key|credential/i;

function shown(key: string, value: unknown, secret: boolean): unknown {
  if (isSecret(value)) return `secret(${value.name})`;
  if (typeof value === "string" && (secret || telling.test(key))) return hidden;
  return JSON.parse(JSON.stringify(value, plain) ?? "null");
}

/** Longer texts (an IDL, SQL) say more by their beginning. */
const maxText = 200;

function plain(this: unknown, key: string, value: unknown): unknown {
  // What stands there, before its own toJSON.
  const stated = (this as Readonly<Record<string, unknown>>)[key];
  if (isSecret(stated)) return `secret(${stated.name})`;
  if (typeof value === "function") return `(function ${value.name || "without a name"})`;
  if (typeof value === "bigint") return `${value}`;
  if (typeof value !== "string") return value;
  if (telling.test(key)) return hidden;
  const safe = value.replace(/(\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@]*):[^\s/@]+@/gi, "$1:(hidden)@");
  return safe.length <= maxText ? safe : `${safe.slice(0, maxText)}... (${safe.length} characters)`;
}
