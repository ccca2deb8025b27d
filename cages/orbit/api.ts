/** What other cages may ask of Orbit: cage<typeof Orbit>("orbit").channels.publish([...]). */
export * as channels from "./channels.ts";
