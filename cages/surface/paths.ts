/** Where things of this site are: views link by these, routes answer them (web.ts). */
export const paths = {
  front: "/",
  thread: (id: string, after?: string): string =>
    `/t/${encodeURIComponent(id)}${after === undefined ? "" : `?after=${encodeURIComponent(after)}`}`,
  reply: (thread: string): string => `/t/${encodeURIComponent(thread)}/reply`,
  person: (name: string): string => `/u/${encodeURIComponent(name)}`,
  start: "/t",
  rate: "/rate",
  comment: "/comment",
  notices: "/notices",
  signIn: "/sign-in",
  signUp: "/sign-up",
  signOut: "/sign-out",
};
