/**
 * Says why a value cannot be sent, by its path: "args[0].user.save is a function and cannot be sent". Walks the value,
 * which costs; it is asked only when writing has failed.
 */
import { packLimits } from "./limits.ts";

/** A sentence; `root` names the value. */
export function refusal(value: unknown, root: string): string {
  return (
    walk(value, root, new Map()) ??
    `${root} holds more than ${packLimits.boxes} objects and cannot be sent at once; send it in parts`
  );
}

const sendable = new Set<unknown>(
  [
    ...[Date, RegExp, ArrayBuffer, DataView, Uint8Array, Buffer, Int8Array, Uint8ClampedArray, Int16Array, Uint16Array],
    ...[Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array],
  ].map((each) => (each as { prototype: unknown }).prototype),
);

function walk(value: unknown, path: string, above: Map<object, string>): string | undefined {
  if (typeof value === "function" || typeof value === "symbol")
    return `${path} is a ${typeof value} and cannot be sent`;
  if (typeof value !== "object" || value === null) return undefined;
  const circle = above.get(value);
  if (circle !== undefined) return `${path} refers back to ${circle} and cannot be sent: a value may not hold itself`;
  if (above.size >= packLimits.depth)
    return `${path.slice(0, 100)}... is over ${packLimits.depth} deep and cannot be sent`;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (sendable.has(prototype)) return undefined;
  const inner = members(value, prototype, path);
  if (inner === undefined) return `${path} is ${named(value)} and cannot be sent; send plain data made from it`;
  above.set(value, path);
  for (const [member, at] of inner) {
    const found = walk(member, at, above);
    if (found !== undefined) return found;
  }
  above.delete(value);
  return undefined;
}

/** What is inside, with paths; undefined when its class is not one that crosses. */
function members(value: object, prototype: unknown, path: string): Iterable<readonly [unknown, string]> | undefined {
  if (prototype === Array.prototype)
    return (value as unknown[]).map((member, at) => [member, `${path}[${at}]`] as const);
  if (prototype === null || prototype === Object.prototype)
    return Object.entries(value).map(([key, member]) => [member, path + step(key)] as const);
  if (prototype === Map.prototype)
    return [...(value as Map<unknown, unknown>)].flatMap(([key, member], at) => [
      [key, `${path}.keys()[${at}]`] as const,
      [member, `${path}.get(${typeof key === "string" ? JSON.stringify(key) : String(key)})`] as const,
    ]);
  if (prototype === Set.prototype)
    return [...(value as Set<unknown>)].map((each, at) => [each, `${path}.values()[${at}]`]);
  if (!(value instanceof Error)) return undefined;
  return [
    [(value as { code?: unknown }).code, `${path}.code`],
    [value.cause, `${path}.cause`],
  ];
}

const step = (key: string): string => (/^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`);

function named(value: object): string {
  const name = (value as { constructor?: { name?: unknown } }).constructor?.name;
  return typeof name === "string" && name !== "" ? `an instance of ${name}` : "an object of a class";
}
