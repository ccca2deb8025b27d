/** A call to every instance, and to those of a node: never run. */
import { cage } from "#runtime";
import type * as Api from "./api.ts";

const all = cage<typeof Api>("shop", { via: "all" });

export async function everywhere(): Promise<number> {
  let sum = 0;
  for (const answer of await all.orders.count()) {
    if (answer.ok) sum += answer.value;
    else sum += answer.error.code === "UNAVAILABLE" ? 0 : answer.process;
    // @ts-expect-error an answer may be a failure
    sum += answer.value;
  }
  // @ts-expect-error nothing is made durable at all instances
  all.retry();
  const there: number = await cage<typeof Api>("shop").at("east").orders.count();
  return sum + there;
}
