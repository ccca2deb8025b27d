/** One user's requests turned to debug, live, and followed through two cages: the real launcher, processes and log files. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createProject, eventually, freePorts, type Project } from "../kit/project.ts";

let project: Project;
let port: number;

interface Line {
  readonly level: string;
  readonly message: string;
  readonly trace?: string;
  readonly fields?: { readonly who?: string };
}

const linesOf = (cage: string): Line[] => {
  const file = join(project.root, "logs", cage, "cage.log");
  return existsSync(file)
    ? readFileSync(file, "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Line)
    : [];
};
const debugOf = (cage: string): string[] =>
  linesOf(cage)
    .filter((line) => line.level === "debug")
    .map((line) => `${line.message} ${line.fields?.who}`);
/** Asks, and waits until both cages have written all that they say of it: lines come to their files a little later. */
async function ask(who: string): Promise<string> {
  const answer = await (await fetch(`http://127.0.0.1:${port}/orders/${who}`)).text();
  for (const cage of ["shop", "books"])
    await eventually(`the last line of ${cage}`, () =>
      linesOf(cage).some((line) => line.message === "answered" && line.fields?.who === who),
    );
  return answer;
}

beforeAll(async () => {
  [port] = (await freePorts(1)) as [number];
  project = createProject({
    "cages/shop/web.ts": `import { cage, log, request } from "#runtime";
import type * as Books from "../books/api.ts";
const books = cage<typeof Books>("books");
export const routes = {
  "GET /orders/:who": async (ask) => {
    const { who } = ask.params;
    log.debug("before anybody is known", { who });
    request.identify({ id: who, name: "somebody" });
    log.debug("looking", { who });
    const found = await books.find(who);
    log.info("answered", { who });
    return \`\${found} from \${request.from}\`;
  },
};
`,
    "cages/books/api.ts": `import { log, request } from "#runtime";
export const find = async (who: string) => {
  log.debug("found", { who });
  log.info("answered", { who });
  return \`for \${who}, asked by \${request.from.split(".").at(-1)}\`;
};
`,
    "config/shop.ts": `import { defineCage } from "#runtime";
export const config = defineCage({ interfaces: { web: { protocol: "http", port: ${port} } } });
`,
  });
  await project.ok("start");
});
afterAll(() => project.remove());

it("the requests of one user are logged closely in all cages that they pass, others as before", async () => {
  expect(await ask("zoe")).toBe("for zoe, asked by shop from 127.0.0.1");
  expect(await project.ok("level", "shop", "debug", "--principal", "ada", "--for", "10m")).toMatch(
    /^LEVEL {2}REQUESTS +ENDS IN\ndebug +principal ada +(10m 0s|9m 5\ds)\n$/,
  );
  await ask("ada");
  await ask("bob");
  expect(debugOf("shop")).toEqual(["looking ada"]);
  expect(debugOf("books")).toEqual(["found ada"]);
  const [here, there] = ["shop", "books"].map((cage) => linesOf(cage).find((line) => line.level === "debug"));
  expect(here!.trace).toBe(there!.trace);
});

it("a rule goes by label and address as well, is listed, and is ended", async () => {
  await project.ok("level", "shop", "debug", "--label", "GET /orders/:who", "--from", "127.0.0.1");
  await ask("cy");
  expect(debugOf("books")).toContain("found cy");
  expect(debugOf("shop")).toContain("before anybody is known cy");
  const rules = JSON.parse(await project.ok("level", "shop", "--json")) as { label?: string }[];
  expect(rules).toMatchObject([{ principal: "ada" }, { level: "debug", label: "GET /orders/:who", from: "127.0.0.1" }]);
  expect(await project.ok("level", "shop", "off")).toBe("shop: requests are logged at the level they come with\n");
  await ask("dee");
  expect(debugOf("books")).not.toContain("found dee");
});

it("what cannot be is refused with a sentence", async () => {
  const refused = async (...words: string[]) => (await project.cage("level", ...words)).stderr;
  expect(await refused("shop", "loud")).toBe("cage: level: write debug, info, warn or error\n");
  expect(await refused("shop", "--principal", "ada")).toMatch(/say which level/);
  expect(await refused("shop", "debug", "--for", "soon")).toMatch(/"soon" is not a duration/);
  expect(await refused("shop", "debug", "--trace", "xyz")).toMatch(/a trace has 32 hex digits/);
  expect(await refused("nobody", "debug")).toMatch(/there is no cage 'nobody'/);
});
