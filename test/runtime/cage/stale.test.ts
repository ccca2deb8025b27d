import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { pathsOf } from "../../../runtime/cage/paths.ts";
import { restartSentence, Stale } from "../../../runtime/cage/stale.ts";
import { type Events, events } from "../../../runtime/health/events.ts";

let home: string;
let stale: Stale;
const told: Events["restart.needed"][] = [];
const off: (() => void)[] = [];
const write = (name: string, text: string): void => writeFileSync(join(home, name), text);

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "cage-stale-"));
  for (const folder of ["lib", "runtime", "state/build/1"]) mkdirSync(join(home, folder), { recursive: true });
  write("package-lock.json", `{"packages":{}}`);
  write("lib/a.ts", "export const a = 1;");
  write("lib/unused.ts", "export const u = 1;");
  // What the build leaves beside a bundle: the text of each source it took in.
  write(
    "state/build/1/worker.js.map",
    JSON.stringify({ sources: ["../../../lib/a.ts"], sourcesContent: ["export const a = 1;"] }),
  );
  told.length = 0;
  off.push(events.on("restart.needed", (each) => told.push(each)));
  stale = new Stale(pathsOf(home, home), join(home, "state/build/1"));
});
afterEach(() => {
  for (const stop of off.splice(0)) stop();
  rmSync(home, { recursive: true });
});

describe("what a reload cannot bring", () => {
  it("is nothing while all is as it was loaded, also after a touch", async () => {
    expect(await stale.look()).toEqual([]);
    utimesSync(join(home, "lib/a.ts"), new Date(0), new Date(0));
    expect(await stale.look()).toEqual([]);
  });

  it("is the packages when the lock file changes, told once, and taken back with it", async () => {
    await stale.look();
    write("package-lock.json", `{"packages":{"zod":{}}}`);
    const outdated = await stale.look();
    expect(outdated).toEqual([{ what: "packages", files: ["package-lock.json"] }]);
    await stale.look();
    expect(told).toHaveLength(1);
    expect(outdated.map(restartSentence)[0]).toContain("restart to apply");
    write("package-lock.json", `{"packages":{}}`);
    expect(await stale.look()).toEqual([]);
  });

  it("is the runtime's own copy of a lib file, but no file that it does not use", async () => {
    await stale.look();
    write("lib/unused.ts", "export const u = 2;");
    expect(await stale.look()).toEqual([]);
    write("lib/a.ts", "export const a = 2;");
    expect(await stale.look()).toEqual([{ what: "runtime", files: ["lib/a.ts"] }]);
  });
});
