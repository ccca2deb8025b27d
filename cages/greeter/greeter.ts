/** The example: one function, answered over HTTP (routes) and to other cages (api.ts). Edit a line while it runs. */
export function hello(who: string): string {
  return `hello, ${who}`;
}

export const routes = {
  "GET /": () => hello("world"),
  "GET /:who": (ask: { params: { who: string } }) => hello(ask.params.who),
};
