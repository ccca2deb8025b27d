/** From a resource's configuration to the type of its client, by protocol: what makes `resources<typeof config>()` typed. */
import type { ThriftClient } from "../../lib/thrift/typed.ts";
import type { HttpClient } from "../resources/http.ts";
import type { Partitions } from "../resources/partitions.ts";
import type { SqliteClient } from "../resources/sqlite.ts";

/** One line a protocol. */
export interface Clients {
  readonly http: HttpClient;
  readonly partitions: Partitions;
  readonly sqlite: SqliteClient;
}

export type ClientOf<R> = R extends { readonly protocol: "thrift"; readonly idl: infer I }
  ? ThriftClient<I>
  : R extends { readonly protocol: infer P }
    ? P extends keyof Clients
      ? Clients[P]
      : unknown
    : never;
