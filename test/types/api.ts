/** An api, as the files beside this one call it: never run. */
import { failure, fn, z } from "#runtime";

export const SoldOut = failure("SOLD_OUT", z.object({ sku: z.string() }));

export const orders = {
  place: fn({ input: z.object({ sku: z.string() }) }, async (order) => {
    if (order.sku === "tea") throw SoldOut({ sku: order.sku });
    // @ts-expect-error details are as declared
    if (order.sku === "mud") throw SoldOut({ name: order.sku });
    return { id: 1 };
  }),
  SoldOut,
  count: (): number => 1,
};
