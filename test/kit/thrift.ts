/** One call over Thrift with our client, on a connection of its own. */
import { binary } from "../../lib/thrift/binary.ts";
import { ClientSession } from "../../lib/thrift/client.ts";
import { type Plan, plansOf } from "../../lib/thrift/plan.ts";
import { schemaOf } from "../../lib/thrift/schema.ts";
import { dial } from "./askers.ts";

export async function thriftCall(url: string, idl: string, method: string, ...args: unknown[]): Promise<unknown> {
  const session = new ClientSession(await dial(url), { protocol: binary });
  try {
    return await session.call(plansOf(schemaOf(idl)).find(method) as Plan, args);
  } finally {
    await session.drain();
  }
}
