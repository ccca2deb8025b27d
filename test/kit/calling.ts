/**
 * A caller that does not stop, as text for a cage's api that has a client `till` with a function `here`: `keep()` calls for
 * 6 s and answers how long the longest call took, answered or not; `soFar()` counts answers and codes.
 */
export const keepCalling = (lanes: number): string => `const seen: Record<string, number> = {};
export const soFar = () => seen;
/** Calls on and on, and tells how it went: the longest time that one call took, answered or not. */
export const keep = async () => {
  let longestMs = 0;
  const lane = async () => {
    for (const until = Date.now() + 6_000; Date.now() < until; await new Promise((next) => setTimeout(next, 5))) {
      const startedAt = performance.now();
      const answer = await till.here().catch((error: { code: string }) => error.code);
      seen[answer] = (seen[answer] ?? 0) + 1;
      longestMs = Math.max(longestMs, performance.now() - startedAt);
    }
  };
  await Promise.all(Array.from({ length: ${lanes} }, lane));
  return longestMs;
};
`;
