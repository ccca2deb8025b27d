/**
 * A schema ready for calls: each method with the readers and writers of its arguments and its answer. Built once per
 * schema; a call keeps the plan it began with, so an IDL that changes meanwhile does not touch it.
 *
 *     const plans = plansOf(schema);
 *     plans.find("Forum:thread");     // multiplexed; "thread" alone finds the only service that has such a method
 *
 * A parameter without `optional` or a default must arrive: its type promises that it is there.
 */
import { Codec, type Reader, type Writer, wireType } from "./codec.ts";
import { ThriftError } from "./errors.ts";
import type { Field, Method, Schema, Service } from "./schema.ts";
import { type Input, type Output, wire } from "./wire.ts";

export interface Declared {
  /** The exception struct's name. */
  readonly name: string;
  /** Its name in `throws`, and number in the answer. */
  readonly id: number;
  readonly fields: readonly Field[];
  readonly read: Reader;
  readonly write: Writer;
}

export interface Plan {
  readonly service: string;
  readonly method: Method;
  /** "Forum.thread", for people. */
  readonly label: string;
  readArgs(input: Input): unknown[];
  writeArgs(output: Output, args: readonly unknown[]): void;
  /** The result, or what was thrown. */
  readAnswer(input: Input): { readonly result: unknown } | { readonly thrown: unknown; readonly declared: Declared };
  writeResult(output: Output, result: unknown): void;
  writeThrown(output: Output, declared: Declared, value: unknown): void;
  readonly throws: readonly Declared[];
}

export interface Plans {
  readonly services: ReadonlyMap<string, ReadonlyMap<string, Plan>>;
  /** By the name a message has. Undefined when there is none, or when several services could be meant. */
  find(name: string): Plan | undefined;
}

/** `served`: the services there are handlers for; without it all. */
export function plansOf(schema: Schema, served: (service: string) => boolean = () => true): Plans {
  const codec = new Codec();
  const services = new Map<string, ReadonlyMap<string, Plan>>();
  const only = new Map<string, Plan | undefined>();
  for (const service of schema.services.values()) {
    if (!served(service.name)) continue;
    const plans = new Map([...service.methods.values()].map((method) => [method.name, plan(service, method, codec)]));
    services.set(service.name, plans);
    for (const [name, each] of plans) only.set(name, only.has(name) ? undefined : each);
  }
  return {
    services,
    find(name) {
      const colon = name.indexOf(":");
      return colon < 0 ? only.get(name) : services.get(name.slice(0, colon))?.get(name.slice(colon + 1));
    },
  };
}

function plan(service: Service, method: Method, codec: Codec): Plan {
  const label = `${service.name}.${method.name}`;
  const args = method.args.map((field) =>
    field.requiredness === "default" && field.value === undefined
      ? { ...field, requiredness: "required" as const }
      : field,
  );
  const readArgs = codec.fieldsReader(label, args);
  const writeArgs = codec.fieldsWriter(label, args);
  const names = method.args.map((field) => field.name);
  const throws = method.throws.map((field): Declared => {
    if (field.type.kind !== "struct") throw new Error(`${label} throws what is no exception`);
    const { struct } = field.type;
    return {
      name: struct.name,
      id: field.id,
      fields: struct.fields,
      read: codec.structReader(struct),
      write: codec.structWriter(struct),
    };
  });
  const result = method.result && {
    type: wireType(method.result),
    read: codec.reader(method.result),
    write: codec.writer(method.result),
  };
  return {
    service: service.name,
    method,
    label,
    throws,
    readArgs(input) {
      const found = readArgs(input) as Readonly<Record<string, unknown>>;
      return names.map((name) => (Object.hasOwn(found, name) ? found[name] : undefined));
    },
    writeArgs(output, values) {
      if (values.length > names.length)
        throw new ThriftError("BAD_VALUE", `${label} takes ${names.length} arguments, ${values.length} were given`);
      writeArgs(output, Object.fromEntries(names.map((name, at) => [name, values[at]])));
    },
    readAnswer(input) {
      input.enter();
      let answer: ReturnType<Plan["readAnswer"]> | undefined;
      for (let type = input.fieldBegin(); type !== wire.STOP; type = input.fieldBegin()) {
        const id = input.fieldId;
        const declared = throws.find((each) => each.id === id);
        if (id === 0 && result !== undefined && result.type === type) answer ??= { result: result.read(input) };
        else if (declared !== undefined && type === wire.STRUCT) answer ??= { thrown: declared.read(input), declared };
        else input.skip(type);
      }
      input.leaveStruct();
      if (answer !== undefined) return answer;
      if (result === undefined) return { result: undefined };
      throw new ThriftError("PROTOCOL", `${label}: the answer holds no result`, { type: "MISSING_RESULT" });
    },
    writeResult(output, value) {
      output.enter();
      if (result !== undefined) {
        if (value === undefined || value === null)
          throw new ThriftError("BAD_VALUE", `${label} returned nothing`, { type: "MISSING_RESULT" });
        output.fieldBegin(result.type, 0);
        try {
          result.write(output, value);
        } catch (error) {
          throw error instanceof ThriftError ? error.within(label) : error;
        }
      }
      output.leaveStruct();
    },
    writeThrown(output, declared, value) {
      output.enter();
      output.fieldBegin(wire.STRUCT, declared.id);
      declared.write(output, value);
      output.leaveStruct();
    },
  };
}
