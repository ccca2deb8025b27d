/**
 * What a resource is: a named way out, of some protocol, lent to code by name.
 *
 *     config/shop.ts     resources: { shop_db: { protocol: "sqlite", file: "shop.sqlite" } }
 *     cages/shop/x.ts    const { shop_db } = resources<typeof config>();
 *
 * Life: `open` -> `check` (is it usable now? throws why not) -> `close`. A resource belongs to generations by its
 * configuration: unchanged it is kept, changed it is opened anew before the old one closes, and the old one closes when
 * the last generation that knows it is gone. `client` is what authors see; every wait in it is bounded by the request
 * (`within(current(), ...)`), and one that takes part in a transaction has `begin`, `commit` and `rollback`.
 *
 *     const memo: ResourceProtocol<{ size: number }, Map<string, string>> = {
 *       protocol: "memo",
 *       options: z.strictObject({ size: z.int().positive() }),
 *       async open(options) {
 *         const map = new Map<string, string>();
 *         return { client: map, async check() {}, async close() { map.clear(); } };
 *       },
 *     };
 */
import type { z } from "../../lib/schema.ts";

export interface Resource<Client> {
  readonly client: Client;
  check(): Promise<void>;
  close(): Promise<void>;
}

export interface ResourceHost {
  readonly name: string;
  readonly cage: string;
  /** Where the cage keeps its files (state/NAME); made when missing. */
  readonly stateDir: string;
}

export interface ResourceProtocol<Options, Client> {
  readonly protocol: string;
  readonly options: z.ZodType<Options>;
  open(options: Options, host: ResourceHost): Promise<Resource<Client>>;
}
