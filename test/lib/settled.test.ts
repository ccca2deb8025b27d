import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Settled } from "../../lib/settled.ts";

describe("files that are replaced", () => {
  let folder: string;
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    folder = mkdtempSync(join(tmpdir(), "settled-"));
  });
  afterEach(() => {
    vi.useRealTimers();
    rmSync(folder, { recursive: true });
  });

  it("are told of once, when they lie still, also one that was not there", () => {
    const [cert, key] = [join(folder, "cert"), join(folder, "key")] as const;
    writeFileSync(cert, "1");
    let told = 0;
    const settled = new Settled([cert, key], () => told++);
    const look = () => vi.advanceTimersByTime(500);
    look();
    writeFileSync(cert, "22");
    look();
    writeFileSync(key, "22");
    look();
    expect(told).toBe(0);
    look();
    expect(told).toBe(1);
    look();
    expect(told).toBe(1);
    settled.stop();
    writeFileSync(cert, "333");
    look();
    look();
    expect(told).toBe(1);
  });
});
