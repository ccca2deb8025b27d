/** Types of declared failures at a caller, who has only the types of the api. */
import { CageError, cage, isFailure, Terminal } from "#runtime";
import type * as Shop from "./api.ts";

const shop = cage<typeof Shop>("shop");

export async function order(): Promise<string | undefined> {
  try {
    const placed = await shop.orders.place({ sku: "tea" });
    const id: number = placed.id;
    // @ts-expect-error a failure is no function of the api
    await shop.orders.SoldOut({ sku: "tea" });
    // @ts-expect-error nor at its root
    await shop.SoldOut({ sku: "tea" });
    return String(id);
  } catch (error) {
    if (isFailure<typeof Shop.SoldOut>(error, "SOLD_OUT")) {
      const code: "SOLD_OUT" = error.code;
      // @ts-expect-error it has no such detail
      error.details.name;
      return code + error.details.sku;
    }
    // @ts-expect-error the api declares another code
    if (isFailure<typeof Shop.orders.SoldOut>(error, "SOLDOUT")) return undefined;
    // @ts-expect-error a function is no failure
    if (isFailure<typeof Shop.orders.count>(error, "SOLD_OUT")) return undefined;
    if (error instanceof Terminal) return error.message;
    if (error instanceof CageError) return error.code;
    throw error;
  }
}
