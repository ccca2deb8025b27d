/**
 * Routes by configuration: `answers: { "GET /orders/:id": "orders.find(id)" }`. The fields are the path's parameters, then
 * the query's, then the members of a JSON or form body, and `body`: the whole of it, which is bytes when it is neither
 * JSON, a form nor text.
 */
import { current } from "../../request/request.ts";
import { type Answers, answerWith, fieldsOf } from "../answers.ts";
import type { Answerer, Routes } from "./routes.ts";

/** Undefined when there are none. */
export function routesOf(answers: Answers): Routes | undefined {
  if (answers.size === 0) return undefined;
  const routes = [...answers].map(([key, answer]): [string, Answerer] => [
    key,
    ({ params, query, body }) => {
      const fields = body === undefined ? {} : fieldsOf(answer, body, "body");
      return answerWith(answer, { ...fields, ...query, ...params }, current());
    },
  ]);
  return Object.fromEntries(routes);
}
