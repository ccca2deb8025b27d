import { Thread } from "/work/trees/template/cages/surface/components/forum/thread/thread.ts";
import { render } from "/work/trees/template/lib/template/html.ts";

const at = Date.UTC(2026, 10, 21, 9, 0);
const names = ["Ann", "Bo", "Åsa", "D'Arcy", "Eve"];
const person = (n: number) => ({ id: `u${n % names.length}`, name: names[n % names.length] as string });
const words = "comets come from the cold beyond the planets & keep <most> of what they are made of".split(" ");
const text = (n: number, length: number): string =>
  Array.from({ length }, (_, i) => words[(n * 7 + i * 3) % words.length]).join(" ");
const thread = { id: "t1", title: 'Where do "comets" come from?', author: person(0), at, posts: 50, lastAt: at };
const posts = Array.from({ length: 50 }, (_, n) => ({
  id: `p${n}`,
  thread: "t1",
  author: person(n),
  body: `${text(n, 30)}\n\n${text(n + 1, 40)}`,
  at: at + n * 60_000,
  rating: { item: `post:p${n}`, up: n % 7, down: n % 3, mine: (n % 3) - 1 },
  comments: Array.from({ length: n % 3 }, (_, c) => ({
    id: `c${n}-${c}`,
    item: `post:p${n}`,
    author: person(n + c),
    body: text(n + c, 12),
    at: at + n * 60_000 + c,
  })),
}));
const cx = { locale: "en", timeZone: "UTC", once: "bench", viewer: { id: "u0", name: "Ann" } };
const flat = () => Buffer.from(render(cx, () => Thread({ thread, posts } as never)));
const rope = () => render(cx, () => Thread({ thread, posts } as never));
const best = (f: () => unknown) => {
  for (let i = 0; i < 1500; i++) f();
  let b = 1e9;
  for (let r = 0; r < 15; r++) {
    const t = performance.now();
    for (let i = 0; i < 100; i++) f();
    b = Math.min(b, (performance.now() - t) / 100);
  }
  return (b * 1000).toFixed(0);
};
const big = Buffer.allocUnsafe(1 << 20);
const enc = new TextEncoder();
for (let i = 0; i < 2; i++) {
  console.log("rope", best(rope));
  console.log(
    "from utf8",
    best(() => Buffer.from(rope())),
  );
  console.log(
    "from latin1",
    best(() => Buffer.from(rope(), "latin1")),
  );
  console.log(
    "write utf8",
    best(() => big.write(rope(), "utf8")),
  );
  console.log(
    "write latin1",
    best(() => big.write(rope(), "latin1")),
  );
  console.log(
    "encodeInto",
    best(() => enc.encodeInto(rope(), big)),
  );
  console.log(
    "byteLength",
    best(() => Buffer.byteLength(rope())),
  );
  console.log(
    "flatten by regexp",
    best(() => /\u0400/.test(rope())),
  );
  console.log(
    "flatten+latin1",
    best(() => {
      const s = rope();
      /[^\x00-\x7f]/.test(s);
      return Buffer.from(s, "latin1");
    }),
  );
}
