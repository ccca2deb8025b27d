import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "../../../lib/thrift/idl.ts";
import { type Field, type Method, type Schema, schemaOf, type Type } from "../../../lib/thrift/schema.ts";
import { needing } from "../../kit/needs.ts";
import { path, schemaOfFile } from "./kit.ts";

describe("an error in an IDL", () => {
  test.each([
    ["struct A {\n  1: i32 x\n", "a:3:1: expected a field or }, found the end of the file"],
    ["struct A {\n  1 i32 x\n}", 'a:2:5: expected ":", found "i32"'],
    [
      "strct A {}",
      'a:1:1: expected a definition (struct, union, exception, enum, service, const, typedef, include or namespace), found "strct"',
    ],
    ["struct A {\n\t1: i32 x; 1: i32 y }", "a:2:19: A.y has number 1, which A.x has already"],
    ["struct A { 1: i32 x, 2: i32 x }", "a:1:29: x is a field of A twice"],
    ["struct A { 40000: i32 x }", "a:1:12: field number 40000 does not fit 16 bits; use 1 to 32767"],
    ["struct A {}\nstruct A {}", "a:2:8: A is defined twice; names are shared by all definitions of a file"],
    ["struct A { 1: person p }\nstruct Person {}", "a:1:15: unknown type person; is Person meant?"],
    ["struct A { 1: list<Nope> p }", "a:1:20: unknown type Nope; define it or include the file that does"],
    ["service S { void a()\n void a() }", "a:2:7: S.a is defined already, in S"],
    ["service S extends T {}", "a:1:19: unknown service T; define it or include the file that does"],
    ["service S extends S {}", "a:1:19: service S is defined by itself"],
    [
      "service S { oneway i32 a() }",
      "a:1:24: S.a is oneway: nobody waits for it, so it must be void and throw nothing",
    ],
    ["struct A {} service S { void a() throws (1: A a) }", "a:1:47: S.a throws a, which is no exception"],
    ["typedef A B\ntypedef B A", "a:2:9: typedef B is defined by itself"],
    ["const i8 X = 200", "a:1:14: X: 200 does not fit i8"],
    ['const i32 X = "x"', "a:1:15: X is i32, which a text does not fit"],
    ["enum E { A } const E X = 5", "a:1:26: X: 5 is no member of E"],
    ["enum E { A }\nconst E X = E.B", "a:2:13: X: unknown constant E.B"],
    ['struct A { 1: i64 (js.type = "string") x }', 'a:1:15: js.type is "number" or "bigint", not "string"'],
    ['include "b.thrift"', 'a:1:9: included file "b.thrift" was not found'],
    [
      "struct A { 1: string s = 'never closed\n",
      "a:1:26: a text that is never closed; end it with the quote it began with",
    ],
    ["/* never\nclosed", "a:1:1: a comment that is never closed; end it with */"],
    ["struct A { 1: i32 § }", 'a:1:19: unexpected character "§"'],
    ["struct A { 1: i32 __proto__ }", "a:1:19: a field cannot be called __proto__ in JavaScript"],
    [`struct A { 1: ${"list<".repeat(100)}i32${">".repeat(100)} x }`, "a:1:335: types nested deeper than 64"],
  ])("%j is refused by its place, line and column", (text, message) => {
    expect(() => schemaOf(text, { file: "a" })).toThrow(expect.objectContaining({ code: "IDL", message }));
  });

  test("in an included file names that file; a circle of includes is refused", () => {
    const files: Record<string, string> = { "b.thrift": "struct B {\n 1: Nope n }", "c.thrift": 'include "c.thrift"' };
    const include = (file: string) => ({ text: files[file] as string, file });
    expect(() => schemaOf('include "b.thrift"', { file: "a", include })).toThrow("b.thrift:2:5: unknown type Nope");
    expect(() => schemaOf('include "c.thrift"', { file: "a", include })).toThrow("includes itself by way of");
  });
});

test("an IDL may use the language's fossils, and names that are words elsewhere", () => {
  const schema = schemaOf(`
    cpp_include "<x>"
    namespace cpp a.b (x = "y"), namespace xsd 'uri';
    senum Size { "small", "large" }
    struct list { 1: map cpp_type "m" <string, i32> map; 2: list<i32> cpp_type "v" list, optional string optional,
      required slist required (a.b = "c", d), 5: list & self, -7: string string = "s" }
    service service { async void oneway(), list void_(string x), }
  `);
  expect(schema.structs.get("list")?.fields.map(({ id, name, requiredness }) => [id, name, requiredness])).toEqual([
    [-7, "string", "default"],
    [-2, "required", "required"],
    [-1, "optional", "optional"],
    [1, "map", "default"],
    [2, "list", "default"],
    [5, "self", "default"],
  ]);
  expect([...(schema.services.get("service")?.methods.keys() ?? [])]).toEqual(["oneway", "void_"]);
});

test("comments in doc form stay with what they stand before", () => {
  const [struct, service] = parse(
    "/** One. */ struct A { /**\n * Two,\n * three.\n */ 1: i32 x }\nservice S { /** Four */ oneway void a() }",
  ).definitions;
  expect([struct?.doc, struct?.kind === "struct" && struct.fields[0]?.doc]).toEqual(["One.", "Two,\nthree."]);
  expect(service?.kind === "service" && service.methods[0]?.doc).toBe("Four");
});

test("no text makes the parser fail otherwise than with a place", () => {
  const words = [
    "struct",
    "A",
    "{",
    "}",
    "1",
    ":",
    "i32",
    "x",
    "map",
    "<",
    ">",
    ",",
    "service",
    "(",
    ")",
    "=",
    "-0x1F",
    "1e5",
    '"t"',
    "const",
    "enum",
    "throws",
    "[",
    "]",
    "/*",
    "*/",
    "/**",
    "\n",
    "union",
    "extends",
    "include",
    "typedef",
    "*",
    "namespace",
    "&",
  ];
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constantFrom(...words), fc.string({ maxLength: 3 })), { maxLength: 40 }),
      (parts) => {
        try {
          schemaOf(parts.join(" "), { file: "a" });
        } catch (error) {
          expect(error).toMatchObject({ code: "IDL", message: expect.stringMatching(/^a:\d+:\d+: /) });
        }
      },
    ),
    { numRuns: 2000 },
  );
});

/** Our schema in the words of `thrift --gen json`. */
function view(schema: Schema): unknown {
  const typeOf = (type: Type, as: string): Record<string, unknown> => {
    if (type.kind === "struct") {
      // A foreign name is told with its file.
      const name = type.alias?.includes(".") ? type.alias : type.struct.name;
      const id = type.struct.kind;
      return as === "" ? { typeId: id, class: name } : { [`${as}Id`]: id, [as]: { typeId: id, class: name } };
    }
    const id = type.kind === "enum" ? "i32" : type.kind;
    const inner =
      type.kind === "list" || type.kind === "set"
        ? typeOf(type.element, "elemType")
        : type.kind === "map"
          ? { ...typeOf(type.key, "keyType"), ...typeOf(type.value, "valueType") }
          : undefined;
    if (as === "") return { typeId: id, ...inner };
    return inner === undefined ? { [`${as}Id`]: id } : { [`${as}Id`]: id, [as]: { typeId: id, ...inner } };
  };
  const field = (each: Field) => ({
    key: each.id,
    name: each.written,
    ...typeOf(each.type, "type"),
    required: { required: "required", optional: "optional", default: "req_out" }[each.requiredness],
    ...(each.value === undefined
      ? {}
      : { default: each.type.kind === "bool" ? Number(each.value) : plain(each.value) }),
  });
  const plain = (value: unknown): unknown => (typeof value === "bigint" ? Number(value) : value);
  const method = (each: Method) => ({
    name: each.name,
    ...(each.result === undefined ? { returnTypeId: "void" } : typeOf(each.result, "returnType")),
    oneway: each.oneway,
    arguments: each.args.map((arg) => ({ ...field(arg), required: "req_out" })),
    exceptions: each.throws.map(field),
  });
  return {
    enums: [...schema.enums.values()].map(({ name, members }) => ({
      name,
      members: [...members].map(([member, value]) => ({ name: member, value })),
    })),
    typedefs: [...schema.typedefs].map(([name, type]) => {
      const { alias: _, ...own } = type;
      return { name, ...typeOf(own as Type, "type") };
    }),
    structs: [...schema.structs.values()].map((each) => ({
      name: each.name,
      isException: each.kind === "exception",
      isUnion: each.kind === "union",
      fields: each.fields.map(field),
    })),
    constants: [...schema.constants].map(([name, { type, value }]) => ({
      name,
      ...typeOf(type, "type"),
      value: plain(value),
    })),
    services: [...schema.services.values()].map((each) => ({
      name: each.name,
      ...(each.parent
        ? { extends: schema.services.has(each.parent.name) ? each.parent.name : `shared.${each.parent.name}` }
        : {}),
      functions: each.own.map(method),
    })),
  };
}

/** Without what we do not keep, in either; fields by number, as we keep them. */
function bare(value: unknown): unknown {
  if (Array.isArray(value)) {
    const members = value.map(bare) as { key?: number }[];
    return typeof members[0]?.key === "number" ? members.sort((a, b) => (a.key ?? 0) - (b.key ?? 0)) : members;
  }
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(([key]) => !["doc", "annotations", "extends_prefix"].includes(key));
  return Object.fromEntries(kept.map(([key, each]) => [key, bare(each)]));
}

needing("thrift").describe("Apache's compiler", () => {
  const theirs = (file: string): Record<string, unknown> => {
    const made = mkdtempSync(join(tmpdir(), "thrift-json-"));
    try {
      execFileSync("thrift", ["-r", "--gen", "json", "-out", made, file], { stdio: "pipe" });
      const name = file.replace(/^.*\/|\.thrift$/g, "");
      return JSON.parse(readFileSync(join(made, `${name}.json`), "utf8")) as Record<string, unknown>;
    } finally {
      rmSync(made, { recursive: true, force: true });
    }
  };

  test.each([
    ["every.thrift", path("every.thrift")],
    ["shared.thrift", path("shared.thrift")],
    ["planet.thrift", path("../../../cages/impact/planet.thrift")],
  ])("understands %s as we do", (name, file) => {
    const schema = schemaOfFile(name === "planet.thrift" ? "../../../cages/impact/planet.thrift" : name);
    const { enums, typedefs, structs, constants, services } = bare(theirs(file)) as Record<string, unknown>;
    expect(view(schema)).toEqual({ enums, typedefs, structs, constants, services });
  });

  test("agrees with us on structs of any shape", () => {
    const base = fc.constantFrom("bool", "i8", "i16", "i32", "i64", "double", "string", "binary", "E", "S");
    const type: fc.Arbitrary<string> = fc.letrec<{ type: string }>((tie) => ({
      type: fc.oneof(
        { depthSize: "small", withCrossShrink: true },
        base,
        tie("type").map((inner) => `list<${inner}>`),
        tie("type").map((inner) => `set< ${inner} >`),
        fc.tuple(tie("type"), tie("type")).map(([key, value]) => `map<${key},${value}>`),
      ),
    })).type;
    const field = fc.tuple(
      fc.integer({ min: 1, max: 32767 }),
      fc.constantFrom("", "required ", "optional "),
      type,
      fc.constantFrom("", ",", ";", ' (a = "b")', " // why"),
    );
    const structs = fc.array(fc.uniqueArray(field, { selector: ([id]) => id, maxLength: 8 }), {
      minLength: 20,
      maxLength: 30,
    });
    const [sample] = fc.sample(structs, { numRuns: 1, seed: 7 }) as [[number, string, string, string][][]];
    const text = [
      "enum E { A = 1, B }\nstruct S {}",
      ...sample.map(
        (fields, at) =>
          `struct S${at} {\n${fields.map(([id, need, kind, end], n) => `  ${id}: ${need}${kind} f${n}${end}`).join("\n")}\n}`,
      ),
    ].join("\n");
    const folder = mkdtempSync(join(tmpdir(), "thrift-idl-"));
    try {
      writeFileSync(join(folder, "any.thrift"), text);
      const { structs: expected } = bare(theirs(join(folder, "any.thrift"))) as Record<string, unknown>;
      expect((view(schemaOf(text)) as Record<string, unknown>)["structs"]).toEqual(expected);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
