/** What may stand at `engine` in a configuration (config/cluster.ts): what joins the nodes, and how it is reached. */
import { z } from "../../lib/schema.ts";
import { addressOf } from "./dial.ts";

/** A `secret("name")`: what is secret stands in no configuration. */
const secret = z.custom<{ readonly name: string; reveal(): string }>(
  (value) => typeof (value as { reveal?: unknown } | null)?.reveal === "function",
  { message: 'write secret("name"), and keep the value in CAGE_SECRET_name or state/secrets/name' },
);

const file = z.string().min(1);

const server = z.string().regex(/^(?:(?:nats|tls):\/\/)?(?:\[[0-9a-fA-F:.]+\]|[^\s:[\]/@]+)(?::\d{1,5})?$/, {
  message: 'write "host:port", and who you are beside it: user and password, token, or credentials',
});

const nats = z.strictObject({
  kind: z.literal("nats"),
  /** "host:port" of some servers of the cluster; any that answers will do. */
  servers: z.array(server).min(1),
  /** Clusters that share a server differ in it. */
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,32}$/, { message: "write 1-32 letters, digits, - or _" })
    .default("cage"),
  user: z.string().min(1).optional(),
  password: secret.optional(),
  token: secret.optional(),
  /** A file of credentials (a user's JWT and seed), as NATS's own tools make it; or its text as a secret. */
  credentials: z.union([file, secret]).optional(),
  /** The server has to prove itself: by a public authority, or by `ca`. With `cert` and `key` this side does too. */
  tls: z
    .strictObject({
      ca: file.optional(),
      cert: file.optional(),
      key: z.union([file, secret]).optional(),
    })
    .refine(({ cert, key }) => (cert === undefined) === (key === undefined), "cert and key go together")
    .optional(),
  /** Copies of the shared memory: 3 in a cluster of three servers, of which one may be lost. */
  replicas: z.union([z.literal(1), z.literal(3), z.literal(5)]).default(1),
});

const name = z.string().regex(/^[A-Za-z0-9_-]{1,32}$/, { message: "write 1-32 letters, digits, - or _" });

const stationary = z.strictObject({
  kind: z.literal("static"),
  /**
   * Every node, this one too, and where each of its cages is reached from the others: "10.0.0.2:7201", or
   * "10.0.0.2:7201-7204" for one of four processes. A cage that is not listed can call, and is called by its own node only.
   */
  nodes: z.record(
    name,
    z.record(
      name,
      z.string().refine((text) => portsOf(text) !== undefined, 'write "host:port", or "host:first-last" for processes'),
    ),
  ),
  /** The address to listen on where it is not the listed one: behind a NAT, in a container. */
  listen: z.string().min(1).optional(),
  /** Files; default those that ./cage keys makes, in state/keys. `key` may be a secret. */
  tls: z.strictObject({ ca: file, cert: file, key: z.union([file, secret]) }).optional(),
});

export interface Ports {
  readonly host: string;
  /** One for each process, by turn. */
  readonly ports: readonly number[];
}

/** Of "host:port" or "host:first-last"; undefined for anything else. */
export function portsOf(text: string): Ports | undefined {
  const [, address = "", last] = /^(.*:\d+)(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const where = addressOf(address);
  if (where === undefined || !("port" in where)) return undefined;
  const { host = "", port } = where;
  const count = last === undefined ? 1 : Number(last) - port + 1;
  if (count < 1 || count > mostProcesses || port + count - 1 > 65_535) return undefined;
  return { host, ports: Array.from({ length: count }, (_, n) => port + n) };
}

/** As many as a cage may have (cage/config.ts). */
const mostProcesses = 64;

export const engineOptions = z
  .discriminatedUnion("kind", [z.strictObject({ kind: z.literal("local") }), nats, stationary])
  .default({ kind: "local" });

export type EngineOptions = z.output<typeof engineOptions>;
export type EngineConfig = z.input<typeof engineOptions>;
export type NatsOptions = z.output<typeof nats>;
export type StaticOptions = z.output<typeof stationary>;
