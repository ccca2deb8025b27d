/** Core's public face: social items and tools. */
export * as profiles from "./profiles.ts";
export * as threads from "./threads.ts";
export * as tools from "./tools.ts";
