/** A thread of 50 posts, the same for all contestants: two paragraphs each, every third with comments. */
export const model = {
  thread: {
    id: "06xy8b6pn0300",
    title: "Where do <comets> come from?",
    author: { id: "06xy8b6pn0001", name: "Ann" },
    at: 1_795_000_000_000,
    posts: 50,
    lastAt: 1_795_003_000_000,
  },
  posts: Array.from({ length: 50 }, (_, at) => {
    const id = `06xy8b6pn${(1000 + at).toString()}`;
    const author = {
      id: `06xy8b6pn${2000 + (at % 7)}`,
      name: ["Ann", "Bob", "Cleo", "Dan", "Eve", "Fay", "Gus"][at % 7] as string,
    };
    return {
      id,
      thread: "06xy8b6pn0300",
      author,
      at: 1_795_000_000_000 + at * 60_000,
      body: `Post number ${at}: they come from the Oort cloud & the Kuiper belt, "they" say.\n\nThe long-period ones have orbits of <thousands> of years; see it's all in the numbers.`,
      rating: { item: `post:${id}`, up: at % 5, down: at % 3 },
      comments:
        at % 3 === 0
          ? [
              {
                id: `06xy8b6pn${3000 + at}`,
                item: `post:${id}`,
                author,
                body: "So I heard & read.",
                at: 1_795_000_000_000 + at * 61_000,
              },
            ]
          : [],
    };
  }),
};
