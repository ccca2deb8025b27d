/** What other cages may ask the monitor. */
export * as watch from "./watch.ts";
