import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // For a machine whose processors are all busy with something else; alone, nearly all take less than a second.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 15_000 } },
    // Real servers, browsers and child processes on two cores: more workers only make each other late.
    maxWorkers: 2,
  },
});
