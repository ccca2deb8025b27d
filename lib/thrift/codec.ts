/**
 * Readers and writers of each type, made once per schema as closures that know their fields: no eval, no interpreting
 * of the schema per value. They drive whatever protocol they are given (wire.ts).
 *
 *     const codec = new Codec();
 *     codec.writer(type)(output, value);  const value = codec.reader(type)(input);
 *
 * Values: see declare.ts. A property that is undefined or null is absent. Unknown fields, and fields of another type than the schema's,
 * are skipped; a missing required one is refused with its path, reading and writing ("Page.posts > Post.id is required").
 * An enum's number that this schema does not know passes through reading (a newer peer has more members), never writing.
 */
import { ThriftError } from "./errors.ts";
import type { Field, Struct, Type } from "./schema.ts";
import { type Input, type Output, wire } from "./wire.ts";

export type Reader = (input: Input) => unknown;
export type Writer = (output: Output, value: unknown) => void;

export function wireType(type: Type): number {
  switch (type.kind) {
    case "bool":
      return wire.BOOL;
    case "i8":
      return wire.BYTE;
    case "i16":
      return wire.I16;
    case "i32":
    case "enum":
      return wire.I32;
    case "i64":
      return wire.I64;
    case "double":
      return wire.DOUBLE;
    case "string":
    case "binary":
      return wire.STRING;
    case "uuid":
      return wire.UUID;
    case "struct":
      return wire.STRUCT;
    case "list":
      return wire.LIST;
    case "set":
      return wire.SET;
    case "map":
      return wire.MAP;
  }
}

export class Codec {
  readonly #readers = new Map<Struct, Reader>();
  readonly #writers = new Map<Struct, Writer>();

  reader(type: Type): Reader {
    switch (type.kind) {
      case "bool":
        return (input) => input.bool();
      case "i8":
        return (input) => input.i8();
      case "i16":
        return (input) => input.i16();
      case "i32":
      case "enum":
        return (input) => input.i32();
      case "i64":
        return type.number ? readSafe : (input) => input.i64();
      case "double":
        return (input) => input.double();
      case "string":
        return (input) => input.string();
      case "binary":
        return (input) => input.binary();
      case "uuid":
        return (input) => input.uuid();
      case "list":
        return listReader(wireType(type.element), this.reader(type.element));
      case "set":
        return setReader(wireType(type.element), this.reader(type.element));
      case "map":
        return mapReader(type.key, this.reader(type.key), type.value, this.reader(type.value));
      case "struct":
        return this.structReader(type.struct);
    }
  }

  writer(type: Type): Writer {
    switch (type.kind) {
      case "bool":
        return writeBool;
      case "i8":
        return integerWriter("i8", 0x7f);
      case "i16":
        return integerWriter("i16", 0x7fff);
      case "i32":
        return integerWriter("i32", 0x7fff_ffff);
      case "i64":
        return writeI64;
      case "double":
        return writeDouble;
      case "string":
        return writeString;
      case "binary":
        return writeBinary;
      case "uuid":
        return (output, value) => output.uuid(typeof value === "string" ? value : misfit("a uuid", value));
      case "enum": {
        const members = new Set(type.enum.members.values());
        const { name } = type.enum;
        return (output, value) =>
          output.i32(members.has(value as number) ? (value as number) : misfit(`a member of ${name}`, value));
      }
      case "list":
        return listWriter(wireType(type.element), this.writer(type.element));
      case "set":
        return setWriter(wireType(type.element), this.writer(type.element));
      case "map":
        return mapWriter(type.key, this.writer(type.key), type.value, this.writer(type.value));
      case "struct":
        return this.structWriter(type.struct);
    }
  }

  structReader(struct: Struct): Reader {
    const made = this.#readers.get(struct);
    if (made !== undefined) return made;
    // Structs may contain themselves: what is stored first is a door that opens when the reader is made.
    let inner: Reader | undefined;
    this.#readers.set(struct, (input) => (inner as Reader)(input));
    inner = struct.kind === "union" ? this.#unionReader(struct) : this.fieldsReader(struct.name, struct.fields);
    this.#readers.set(struct, inner);
    return inner;
  }

  structWriter(struct: Struct): Writer {
    const made = this.#writers.get(struct);
    if (made !== undefined) return made;
    let inner: Writer | undefined;
    this.#writers.set(struct, (output, value) => (inner as Writer)(output, value));
    inner = struct.kind === "union" ? this.#unionWriter(struct) : this.fieldsWriter(struct.name, struct.fields);
    this.#writers.set(struct, inner);
    return inner;
  }

  fieldsReader(owner: string, fields: readonly Field[]): Reader {
    const slots = slotsOf(fields, (field) => ({
      name: field.name,
      type: wireType(field.type),
      read: this.reader(field.type),
    }));
    const required = fields.filter((f) => f.requiredness === "required" && f.value === undefined).map((f) => f.name);
    const defaults = fields.filter((f) => f.value !== undefined).map((f) => ({ name: f.name, value: fresh(f.value) }));
    return (input) => {
      const value: Record<string, unknown> = {};
      let reading = "";
      input.enter();
      try {
        for (let type = input.fieldBegin(); type !== wire.STOP; type = input.fieldBegin()) {
          const slot = slots(input.fieldId);
          if (slot === undefined || slot.type !== type) input.skip(type);
          else {
            reading = slot.name;
            value[reading] = slot.read(input);
          }
        }
      } catch (error) {
        throw error instanceof ThriftError && reading !== "" ? error.within(`${owner}.${reading}`) : error;
      }
      input.leaveStruct();
      for (const name of required)
        if (!Object.hasOwn(value, name))
          throw new ThriftError("BAD_VALUE", `${owner}.${name} is required, but was not sent`);
      for (const each of defaults) if (!Object.hasOwn(value, each.name)) value[each.name] = each.value();
      return value;
    };
  }

  fieldsWriter(owner: string, fields: readonly Field[]): Writer {
    const slots = fields.map((field) => ({
      id: field.id,
      name: field.name,
      type: wireType(field.type),
      write: this.writer(field.type),
      required: field.requiredness === "required",
      value: field.requiredness === "optional" ? undefined : field.value,
      // A field called toString or constructor: every object has one of those that no one put there.
      inherited: field.name in Object.prototype,
    }));
    return (output, given) => {
      if (typeof given !== "object" || given === null) misfit(`an object (${owner})`, given);
      const value = given as Readonly<Record<string, unknown>>;
      output.enter();
      for (const slot of slots) {
        const own = slot.inherited && !Object.hasOwn(value, slot.name) ? undefined : value[slot.name];
        const inner = own ?? slot.value;
        if (inner === undefined) {
          if (slot.required) throw new ThriftError("BAD_VALUE", `${owner}.${slot.name} is required, but missing`);
          continue;
        }
        output.fieldBegin(slot.type, slot.id);
        try {
          slot.write(output, inner);
        } catch (error) {
          throw error instanceof ThriftError ? error.within(`${owner}.${slot.name}`) : error;
        }
      }
      output.leaveStruct();
    };
  }

  #unionReader(union: Struct): Reader {
    const slots = slotsOf(union.fields, (f) => ({ name: f.name, type: wireType(f.type), read: this.reader(f.type) }));
    return (input) => {
      let found: { kind: string; value: unknown } | undefined;
      input.enter();
      for (let type = input.fieldBegin(); type !== wire.STOP; type = input.fieldBegin()) {
        const slot = slots(input.fieldId);
        if (slot === undefined || slot.type !== type) input.skip(type);
        else if (found !== undefined)
          throw new ThriftError("BAD_VALUE", `${union.name} is a union, but two fields were sent`);
        else found = { kind: slot.name, value: slot.read(input) };
      }
      input.leaveStruct();
      if (found === undefined)
        throw new ThriftError("BAD_VALUE", `${union.name} is a union, but no known field was sent`);
      return found;
    };
  }

  #unionWriter(union: Struct): Writer {
    const cases = new Map(
      union.fields.map((f) => [f.name, { id: f.id, type: wireType(f.type), write: this.writer(f.type) }]),
    );
    const names = [...cases.keys()].join(", ");
    return (output, given) => {
      const { kind, value } = (given ?? {}) as { kind?: unknown; value?: unknown };
      const one = cases.get(kind as string);
      if (one === undefined || value === undefined || value === null)
        return misfit(`{ kind, value } (${union.name}; kind one of ${names})`, given);
      output.enter();
      output.fieldBegin(one.type, one.id);
      try {
        one.write(output, value);
      } catch (error) {
        throw error instanceof ThriftError ? error.within(`${union.name}.${kind as string}`) : error;
      }
      output.leaveStruct();
    };
  }
}

/** Field number to slot: an array while numbers are small, as they nearly always are, else a map. */
function slotsOf<Slot>(fields: readonly Field[], make: (field: Field) => Slot): (id: number) => Slot | undefined {
  if (fields.every((field) => field.id >= 0 && field.id < 1024)) {
    const slots: (Slot | undefined)[] = new Array(Math.max(0, ...fields.map((f) => f.id + 1))).fill(undefined);
    for (const field of fields) slots[field.id] = make(field);
    return (id) => slots[id];
  }
  const slots = new Map(fields.map((field) => [field.id, make(field)]));
  return (id) => slots.get(id);
}

/** A maker of the default: containers anew each time, so that one receiver cannot change another's. */
const fresh = (value: unknown): (() => unknown) =>
  typeof value === "object" && value !== null ? () => structuredClone(value) : () => value;

function readSafe(input: Input): number {
  const value = input.i64();
  const number = Number(value);
  if (!Number.isSafeInteger(number))
    throw new ThriftError("BAD_VALUE", `${value} is beyond what a number holds exactly; drop (js.type = "number")`);
  return number;
}

function listReader(element: number, read: Reader): Reader {
  return (input) => {
    input.enter();
    const count = input.listBegin();
    if (count > 0) expectType(element, input.elementType);
    const list: unknown[] = [];
    for (let at = 0; at < count; at++) list.push(read(input));
    input.leave();
    return list;
  };
}

function setReader(element: number, read: Reader): Reader {
  return (input) => {
    input.enter();
    const count = input.listBegin();
    if (count > 0) expectType(element, input.elementType);
    const set = new Set<unknown>();
    for (let at = 0; at < count; at++) set.add(read(input));
    input.leave();
    return set;
  };
}

function mapReader(key: Type, readKey: Reader, value: Type, readValue: Reader): Reader {
  const keyType = wireType(key);
  const valueType = wireType(value);
  const text = key.kind === "string";
  return (input) => {
    input.enter();
    const count = input.mapBegin();
    if (count > 0) {
      expectType(keyType, input.keyType);
      expectType(valueType, input.elementType);
    }
    const map = new Map<unknown, unknown>();
    for (let at = 0; at < count; at++) map.set(readKey(input), readValue(input));
    input.leave();
    // fromEntries defines, it does not assign: a key "__proto__" becomes a property like any other.
    return text ? Object.fromEntries(map) : map;
  };
}

function expectType(expected: number, found: number): void {
  if (expected !== found)
    throw new ThriftError("PROTOCOL", `a container's members have wire type ${found}; ${expected} is expected`);
}

function writeBool(output: Output, value: unknown): void {
  output.bool(typeof value === "boolean" ? value : misfit("a boolean", value));
}

function integerWriter(kind: "i8" | "i16" | "i32", most: number): Writer {
  return (output, value) => {
    if (!Number.isInteger(value) || (value as number) > most || (value as number) < -most - 1)
      misfit(`an ${kind}`, value);
    output[kind](value as number);
  };
}

function writeI64(output: Output, value: unknown): void {
  if (typeof value === "bigint") {
    if (BigInt.asIntN(64, value) !== value) misfit("an i64", value);
    output.i64(value);
  } else if (Number.isSafeInteger(value)) output.i64(BigInt(value as number));
  else misfit("an i64 (a bigint or an exact number)", value);
}

function writeDouble(output: Output, value: unknown): void {
  output.double(typeof value === "number" ? value : misfit("a number", value));
}

function writeString(output: Output, value: unknown): void {
  output.string(typeof value === "string" ? value : misfit("a string", value));
}

function writeBinary(output: Output, value: unknown): void {
  output.binary(value instanceof Uint8Array ? value : misfit("a Uint8Array", value));
}

function listWriter(element: number, write: Writer): Writer {
  return (output, value) => {
    if (!Array.isArray(value)) return misfit("an array", value);
    members(output, value, value.length, element, write);
  };
}

function setWriter(element: number, write: Writer): Writer {
  return (output, value) => {
    if (!(value instanceof Set)) return misfit("a Set", value);
    members(output, value, value.size, element, write);
  };
}

function members(output: Output, value: Iterable<unknown>, count: number, element: number, write: Writer): void {
  output.enter();
  output.listBegin(element, count);
  let at = 0;
  try {
    for (const each of value) {
      write(output, each);
      at++;
    }
  } catch (error) {
    throw error instanceof ThriftError ? error.within(`[${at}]`) : error;
  }
  output.leave();
}

function mapWriter(key: Type, writeKey: Writer, value: Type, writeValue: Writer): Writer {
  const keyType = wireType(key);
  const valueType = wireType(value);
  const text = key.kind === "string";
  return (output, given) => {
    let entries: readonly (readonly [unknown, unknown])[];
    if (given instanceof Map) entries = [...given];
    else if (text && typeof given === "object" && given !== null)
      entries = Object.entries(given).filter(([, each]) => each !== undefined);
    else return misfit(text ? "an object or a Map" : "a Map", given);
    output.enter();
    output.mapBegin(keyType, valueType, entries.length);
    for (const [k, v] of entries) {
      try {
        writeKey(output, k);
        writeValue(output, v);
      } catch (error) {
        throw error instanceof ThriftError ? error.within(`[${String(k)}]`) : error;
      }
    }
    output.leave();
  };
}

function misfit(expected: string, found: unknown): never {
  let shown: string;
  if (typeof found === "string") shown = JSON.stringify(found.length > 40 ? `${found.slice(0, 40)}...` : found);
  else if (typeof found === "object" && found !== null) shown = Array.isArray(found) ? "an array" : "an object";
  else shown = typeof found === "bigint" ? `${found}n` : String(found);
  throw new ThriftError("BAD_VALUE", `expected ${expected}, found ${shown}`);
}
