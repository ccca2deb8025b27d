/**
 * A packet that asks by a path, for cages that answer by configuration, and what goes back to whoever asked:
 *
 *     interfaces: { comet: { protocol: "comet", port: 8085, answers: { hello: "greeter.hello(who)" } } }
 *
 *     {"path":"hello","id":7,"data":{"who":"you"}}      ->  {"path":"hello","id":7,"answer":"hello, you"}
 *                                                       or  {"path":"hello","id":7,"error":{"code":...,"message":...}}
 *
 * `id` is the asker's own, a string or a number, and may be left out. The fields are the members of `data`.
 */
import { CageError } from "../../errors.ts";
import type { Request } from "../../request/request.ts";
import { type Answers, answerWith, fieldsOf } from "../answers.ts";
import { jsonOf, refusalOf } from "../json.ts";

export interface Question {
  readonly path: string;
  readonly id: string | number | undefined;
  readonly data: unknown;
}

/** Undefined: the packet asks nothing, or by no path. */
export function questionIn(text: string): Question | undefined {
  if (!text.startsWith("{")) return undefined;
  try {
    const { path, id, data } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    if (typeof path !== "string") return undefined;
    return { path, id: typeof id === "string" || typeof id === "number" ? id : undefined, data };
  } catch {
    return undefined;
  }
}

export async function answerTo(question: Question, answers: Answers, request: Request): Promise<string> {
  const { path, id, data = {} } = question;
  const answer = answers.get(path);
  if (answer === undefined) throw new CageError("NOT_FOUND", `nothing answers '${path.slice(0, 100)}' here`);
  // Only now: whatever strangers ask for must not become a label each.
  request.label = path;
  return jsonOf({ path, id, answer: (await answerWith(answer, fieldsOf(answer, data, "value"), request)) ?? null });
}

export const refusalTo = ({ path, id }: Question, error: unknown): string => jsonOf({ path, id, ...refusalOf(error) });

/** What a packet gets that is no question, where there are only answers. */
export const noQuestion: string = jsonOf(
  refusalOf(new CageError("BAD_INPUT", 'a packet asks here: {"path": "name", "id": 1, "data": {}}')),
);
