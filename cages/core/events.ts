/** The module of the interface "events": what was changed and committed is told to Orbit. */
export { deliver } from "#shared/events.ts";
