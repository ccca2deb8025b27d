/**
 * Tools, as other cages call them: `rate` and `comment` with their types, and `apply` for any operation of any tool that
 * an item's declaration attaches, by name.
 */
import { fn, z } from "#runtime";
import { community } from "./community.ts";
import { content } from "./content.ts";
import * as text from "./text.ts";
import { type Comment, comments } from "./tools/comment.ts";
import { type Rating, rating } from "./tools/rating.ts";

const item = z.string().max(240);
const rateItem = community.use(rating, "rate");
const commentOn = community.use(comments, "add");

export const rate = fn(
  { input: z.strictObject({ item, actor: text.person, value: z.int() }), idempotent: true },
  ({ item, actor, value }): Promise<Rating> =>
    rateItem(content, { item, actor, input: { value: value as -1 | 0 | 1 } }),
);

export const comment = fn(
  { input: z.strictObject({ item, actor: text.person, body: z.string(), once: text.once }), idempotent: true },
  ({ item, actor, body, once }): Promise<Comment> => commentOn(content, { item, actor, input: { body }, once }),
);

export const apply = fn(
  {
    input: z.strictObject({
      tool: z.string().max(40),
      operation: z.string().max(40),
      item,
      actor: text.person,
      input: z.unknown(),
      once: text.once.optional(),
    }),
  },
  ({ tool, operation, item, actor, input, once }): Promise<unknown> =>
    community.apply(content, tool, operation, { item, actor, input, once }),
);
