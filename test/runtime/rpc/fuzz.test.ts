/** The short form of `npm run torture -- frames`. */
import { describe, expect, it } from "vitest";
import { attacks, torture } from "../../torture/frames.ts";

describe("hostile peers", () => {
  it("end their own connection and harm nothing else: memory is bounded, an honest peer is answered", async () => {
    const outcome = await torture(3, 20_261_121);
    expect(outcome.unharmed, `${JSON.stringify(outcome)}`).toBe(true);
    expect(outcome.attacks).toBe(3 * Object.keys(attacks).length);
  }, 60_000);
});
