/**
 * Errors that an api declares: part of its face, as its functions are.
 *
 *     export const SoldOut = failure("SOLD_OUT", z.object({ sku: z.string() }));      // cages/shop/orders.ts
 *     throw SoldOut({ sku: "tea" });
 *
 *     import type * as Shop from "../shop/api.ts";                                     // another cage: only types cross
 *     if (isFailure<typeof Shop.orders.SoldOut>(error, "SOLD_OUT")) reorder(error.details.sku);
 *
 * A wrong code or a member that is not in the schema is a compile error. It crosses by code and details, is a refusal
 * (status 422, not retried) unless declared otherwise, and outsiders are told its sentence.
 */
import type { z } from "../../lib/schema.ts";
import { CageError, codes } from "../errors.ts";

const brand = Symbol.for("cage.failure");

type Details = Readonly<Record<string, unknown>>;

/** An error of a declared kind. */
export type Failed<C extends string, D> = Omit<CageError, "code" | "details"> & {
  readonly code: C;
  readonly details: D;
};

export interface Failure<C extends string = string, D = Details> {
  /** Makes one, to be thrown. Throws BAD_INPUT on details that are not as declared. */
  (details: D, options?: { readonly cause?: unknown }): Failed<C, D>;
  readonly code: C;
  readonly [brand]: true;
}

/** Any failure, whatever its details. */
interface Declared {
  (...args: never[]): Failed<string, object>;
  readonly code: string;
  readonly [brand]: true;
}

export interface FailureOptions<D> {
  /** The sentence for people; lower case. */
  readonly message?: (details: D) => string;
  readonly status?: number;
  readonly retryable?: boolean;
}

/** Declares an error of an api by its code (capitals) and what it tells. */
export function failure<const C extends string, D extends Details>(
  code: C,
  details: z.ZodType<D>,
  options: FailureOptions<D> = {},
): Failure<C, D> {
  if (!/^[A-Z][A-Z0-9_]{1,63}$/.test(code) || Object.hasOwn(codes, code))
    throw new CageError(
      "CONFIG",
      Object.hasOwn(codes, code)
        ? `failure("${code}"): this code has a meaning of its own (runtime/errors.ts); name yours otherwise`
        : `failure("${code}"): a code is 2-64 capitals, digits and _`,
    );
  const { message = () => code.toLowerCase().replaceAll("_", " "), ...rest } = options;
  const make = (given: D, { cause }: { readonly cause?: unknown } = {}) => {
    const checked = details.safeParse(given);
    if (!checked.success) {
      const [issue] = checked.error.issues;
      throw new CageError(
        "BAD_INPUT",
        `${code}: ${issue?.path.map(String).join(".") || "its details"}: ${issue?.message}`,
      );
    }
    const more = cause === undefined ? rest : { ...rest, cause };
    return new CageError(code, message(checked.data), { ...more, details: checked.data }) as Failed<C, D>;
  };
  return Object.assign(make, { code, [brand]: true as const });
}

/** Whether an error is the failure F of an api, which is given as a type: `isFailure<typeof Shop.orders.SoldOut>(...)`. */
export const isFailure = <F extends Declared>(error: unknown, code: F["code"]): error is ReturnType<F> =>
  error instanceof CageError && error.code === code;

/** Not one of the functions that can be called. */
export const isDeclared = (value: unknown): boolean =>
  typeof value === "function" && (value as { [brand]?: unknown })[brand] === true;
