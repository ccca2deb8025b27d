/** What a person who looks for a fault sees of a live cage: two generations of one file at once, each in its own lines. */
import { readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { WebSocket } from "undici";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createProject, eventually, type Project } from "../kit/project.ts";

/** The type above is erased, the comments are dropped: lines of the compiled code are others than the author's. */
const source = (word: string, above = "") => `${above}import { keep } from "#runtime";

interface Erased {
  readonly word: string;
  readonly more: string;
}

// A gate that both generations know.
const gate = keep("gate", () => {
  let open = (): void => {};
  const opened = new Promise<void>((done) => (open = done));
  return { opened, open: () => open() };
});

export const waitAndFail = async (): Promise<string> => {
  await gate.opened;
  return place(0);
};

export const open = (): void => gate.open();

export function place(fine: number): string {
  const seen: Erased["word"] = "${word}";
  if (fine === 0) throw new Error(\`\${seen} fails\`);
  return seen;
}
`;
const lineOf = (text: string, part: string) => text.split("\n").findIndex((line) => line.includes(part)) + 1;

interface Script {
  readonly scriptId: string;
  readonly url: string;
  readonly sourceMapURL: string;
}
interface Paused {
  readonly callFrames: readonly {
    readonly callFrameId: string;
    readonly location: { readonly scriptId: string; readonly lineNumber: number; readonly columnNumber: number };
  }[];
}

/** A debugger: the Chrome DevTools protocol, as editors speak it. */
class Debugger {
  readonly scripts = new Map<string, Script>();
  readonly paused: Paused[] = [];
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (answer: never) => void>();
  #next = 1;

  static async attach(url: string): Promise<Debugger> {
    const socket = new WebSocket(url);
    await new Promise((done, fail) => {
      socket.addEventListener("open", done);
      socket.addEventListener("error", fail);
    });
    return new Debugger(socket);
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      const message = JSON.parse(String(data)) as { id?: number; result: never; method: string; params: never };
      if (message.id !== undefined) this.#waiting.get(message.id)?.(message.result);
      else if (message.method === "Debugger.scriptParsed") {
        const script = message.params as Script;
        this.scripts.set(script.scriptId, script);
      } else if (message.method === "Debugger.paused") this.paused.push(message.params);
    });
  }

  ask<T>(method: string, params: object = {}): Promise<T> {
    const id = this.#next++;
    return new Promise((done) => {
      this.#waiting.set(id, done as (answer: never) => void);
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }

  scriptOf(part: string): Script | undefined {
    return [...this.scripts.values()].find((script) => script.url.includes(part));
  }

  map(script: Script): SourceMap {
    const text = Buffer.from(script.sourceMapURL.split("base64,")[1] as string, "base64").toString();
    return new SourceMap(JSON.parse(text));
  }

  close(): void {
    this.#socket.close();
  }
}

/** The line of the compiled script, from 0, that came from a line of the text. */
function compiledLine(map: SourceMap, line: number): number {
  for (let at = 0; at < 200; at++)
    for (let column = 0; column < 120; column++) {
      const entry = map.findEntry(at, column);
      if ("originalLine" in entry && entry.originalLine === line - 1 && entry.generatedLine === at) return at;
    }
  throw new Error(`no compiled line for line ${line}`);
}

let project: Project;
const first = source("one");
const second = source("two", "// a line\n// and another\n");
const file = () => join(project.root, "cages/shop/api.ts");
const generation = async () => JSON.parse(await project.ok("list", "--json"))[0].worker.generation as number;
const save = async (text: string, wanted: number) => {
  project.write({ "cages/shop/api.ts": text });
  await eventually(`generation ${wanted}`, async () => (await generation()) === wanted);
};

beforeAll(async () => {
  project = createProject({ "cages/shop/api.ts": first });
  await project.ok("start", "shop", "--inspect", "0");
});
afterAll(() => project.remove());

describe("an error", () => {
  it("shows the author's lines and the generation, of old code still running and of new code", async () => {
    const old = project.cage("call", "shop", "waitAndFail");
    await running();
    await save(second, 2);
    await project.ok("call", "shop", "open");
    expect((await old).code).toBe(1);
    expect((await project.cage("call", "shop", "waitAndFail")).code).toBe(1);
    const log = await eventually("both errors in the log", () => {
      const text = readFileSync(join(project.root, "logs/shop/cage.log"), "utf8");
      return text.includes("two fails") && text;
    });
    const throws = "throw new Error";
    const calls = "return place(0)";
    for (const [word, text, label] of [
      ["one", first, "g1"],
      ["two", second, "g2"],
    ] as const) {
      const line = log.split("\n").find((each) => each.includes(`${word} fails`) && each.includes("stack")) as string;
      expect(line).toContain(`[${label}] (${file()}:${lineOf(text, throws)}:`);
      expect(line).toContain(`[${label}] (${file()}:${lineOf(text, calls)}:`);
    }
  });
});

/** The call that waits has arrived. */
async function running(): Promise<void> {
  const { askControl } = await import("../../runtime/cage/control.ts");
  const { pathsOf, socketOf } = await import("../../runtime/cage/paths.ts");
  const socket = socketOf(pathsOf(project.root, project.root), "ctl", "shop");
  await eventually(
    "the waiting request",
    async () => ((await askControl(socket, "requests")) as unknown[]).length === 1,
  );
}

describe("a debugger", () => {
  it("is given the author's text, and its breakpoints hold over a reload, in both generations", async () => {
    const url = JSON.parse(await project.ok("list", "--json"))[0].worker.inspector as string;
    expect(await project.ok("list")).toContain(`a debugger may come to ${url}`);
    const tool = await Debugger.attach(url);
    try {
      await tool.ask("Debugger.enable");
      const script = tool.scriptOf("/cages/shop/api.ts?g=2") as Script;
      expect(script.url).toContain(`${pathToFileURL(file()).href}?g=2`);
      const map = tool.map(script);
      expect(map.payload.sources).toEqual([pathToFileURL(file()).href]);
      expect(map.payload.sourcesContent).toEqual([second]);

      const wanted = lineOf(second, "return seen");
      const { breakpointId } = await tool.ask<{ breakpointId: string }>("Debugger.setBreakpointByUrl", {
        urlRegex: "/cages/shop/api\\.ts\\?g=",
        lineNumber: compiledLine(map, wanted),
      });
      expect(breakpointId).toBeDefined();
      // Held in generation 2 while generation 3 comes; the compiled lines stay where they are.
      const third = second.replace('"two"', '"three"');
      const hit = async (count: number) => {
        await eventually(`stop ${count}`, () => tool.paused.length >= count);
        const frame = (tool.paused[count - 1] as Paused).callFrames[0] as Paused["callFrames"][number];
        const at = tool.scripts.get(frame.location.scriptId) as Script;
        const entry = tool.map(at).findEntry(frame.location.lineNumber, frame.location.columnNumber);
        const { result } = await tool.ask<{ result: { value: string } }>("Debugger.evaluateOnCallFrame", {
          callFrameId: frame.callFrameId,
          expression: "seen",
        });
        await tool.ask("Debugger.resume");

        return [/\?(g=\d+)/.exec(at.url)?.[1], "originalLine" in entry && entry.originalLine + 1, result.value];
      };
      const now = project.ok("call", "shop", "place", "1");
      expect(await hit(1)).toEqual(["g=2", wanted, "two"]);
      expect(await now).toBe('"two"\n');
      await save(third, 3);
      const later = project.ok("call", "shop", "place", "1");
      expect(await hit(2)).toEqual(["g=3", wanted, "three"]);
      expect(await later).toBe('"three"\n');
    } finally {
      tool.close();
    }
  });
});
