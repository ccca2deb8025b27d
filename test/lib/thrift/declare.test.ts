import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, expectTypeOf, test } from "vitest";
import type planet from "../../../cages/impact/planet.thrift";
import type { ThreadPage } from "../../../cages/impact/planet.thrift";
import { declarationPath, declare, declareFile } from "../../../lib/thrift/declare.ts";
import { schemaOf } from "../../../lib/thrift/schema.ts";
import type { ThriftClient, ThriftConstants, ThriftHandlers } from "../../../lib/thrift/typed.ts";
import type every from "./every.thrift";
import type { Defaults, Node, Shape } from "./every.thrift";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const files = ["cages", "test/lib/thrift"].flatMap((folder) =>
  (readdirSync(join(root, folder), { recursive: true }) as string[])
    .filter((file) => file.endsWith(".thrift"))
    .map((file) => join(folder, file)),
);

test.each(files)("the declaration of %s is what declare.ts makes of it now", (file) => {
  expect(readFileSync(join(root, declarationPath(file)), "utf8"), `run: npx tsx lib/thrift/declare.ts ${file}`).toBe(
    declareFile(join(root, file)),
  );
});

test("a client and handlers are typed by the IDL's declaration", () => {
  type Client = ThriftClient<typeof planet>;
  expectTypeOf<Parameters<Client["Forum"]["thread"]>>().toEqualTypeOf<[string, string, (string | undefined)?]>();
  expectTypeOf<ReturnType<Client["Forum"]["thread"]>>().toEqualTypeOf<Promise<ThreadPage>>();
  type Handlers = ThriftHandlers<typeof planet>;
  expectTypeOf<ReturnType<Handlers["Forum"]["thread"]>>().toEqualTypeOf<ThreadPage | Promise<ThreadPage>>();
  expectTypeOf<ThriftClient<typeof every>["Echo"]["ping"]>().toEqualTypeOf<
    (word?: string | undefined) => Promise<string>
  >();
  expectTypeOf<ThriftConstants<typeof every>["Color"]["GREEN"]>().toEqualTypeOf<4>();
  expectTypeOf<Extract<Shape, { kind: "text" }>["value"]>().toEqualTypeOf<string>();
  expectTypeOf<Node["children"]>().toEqualTypeOf<readonly Node[] | undefined>();
  expectTypeOf<Defaults["color"]>().toEqualTypeOf<0 | 4 | 5 | -1 | undefined>();
});

test("parameters with reserved names, optional ones before others, and an end of comment are still TypeScript", () => {
  const text = declare(
    schemaOf(
      "/** a */ service S { /** says *" + "/ void a(1: string new, 2: optional i32 b, 3: i32 c, 4: bool d = true) }",
    ),
    "x.thrift",
  );
  expect(text).toContain(
    "readonly a: (new_: string, b: number | undefined, c: number, d?: boolean | undefined) => Promise<void>;",
  );
});
