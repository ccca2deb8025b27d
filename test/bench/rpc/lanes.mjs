/**
 * The load that every contestant gets, and what is sent: so many lanes, each asking again as soon as it was answered.
 * Plain JavaScript, for it runs inside cages, in processes by hand and in Moleculer alike.
 */
const row = (n) => ({
  id: 1000 + n,
  name: "a comet passes by",
  tags: ["one", "two", "three"],
  at: 1790000000000 + n,
  author: { id: "u17", name: "Ann Example", admin: false },
  score: 17.5,
  text: "from the cold beyond",
});

/** About 200 bytes and 10 KB as JSON. */
export const payloads = { small: row(1), large: { rows: Array.from({ length: 54 }, (_, n) => row(n)) } };

/**
 * Calls per second; the median of one call's time in microseconds (only for one lane: measuring costs, too); and what one
 * call took of the caller's processor, which a busy machine disturbs least.
 */
export async function lanes(call, { size, outstanding, ms }) {
  const payload = payloads[size];
  const check = (await call(payload)) ?? {};
  if (JSON.stringify(check) !== JSON.stringify(payload)) throw new Error("it does not echo");
  const times = [];
  const cpu = process.cpuUsage();
  let calls = 0;
  const began = performance.now();
  const until = began + ms;
  const lane = async () => {
    for (;;) {
      const at = performance.now();
      if (at >= until) return;
      // The clock is read once for 16 calls, but for a lane that is alone.
      for (let n = outstanding === 1 ? 1 : 16; n > 0; n--) {
        await call(payload);
        calls++;
      }
      if (outstanding === 1) times.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: outstanding }, lane));
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  times.sort((a, b) => a - b);
  return { perSecond: calls / seconds, p50Us: (times[times.length >> 1] ?? 0) * 1000, cpuUs: (user + system) / calls };
}
