/** What may stand at `engine` in a configuration (config/cluster.ts): what joins the nodes, and how it is reached. */
import { z } from "../../lib/schema.ts";

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

export const engineOptions = z
  .discriminatedUnion("kind", [z.strictObject({ kind: z.literal("local") }), nats])
  .default({ kind: "local" });

export type EngineOptions = z.output<typeof engineOptions>;
export type EngineConfig = z.input<typeof engineOptions>;
export type NatsOptions = z.output<typeof nats>;
