/** An api with streams, as streams.ts calls it: never run. */
export const rows = {
  async *list(count: number): AsyncGenerator<{ id: number }> {
    for (let id = 0; id < count; id++) yield { id };
  },
  async later() {
    return (async function* () {
      yield "a";
    })();
  },
  async sum(items: AsyncIterable<number>): Promise<number> {
    let sum = 0;
    for await (const each of items) sum += each;
    return sum;
  },
  async *double(items: AsyncIterable<number>) {
    for await (const each of items) yield 2 * each;
  },
};
