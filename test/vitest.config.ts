import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Real servers, browsers and child processes on two cores: more workers only make each other late.
    maxWorkers: 2,
  },
});
