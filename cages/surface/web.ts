/** The web front of Planet: its addresses. Pages are in screens.ts, what people do in acts.ts. */
import { type Ask, CageError, type Reply, type Route, type Routes, reply, told } from "#runtime";
import * as acts from "./acts.ts";
import { asset, favicon } from "./assets.ts";
import { refusal } from "./back.ts";
import { ErrorPage } from "./components/site/error.ts";
import { paths } from "./paths.ts";
import { byScript, show } from "./screen.ts";
import * as screens from "./screens.ts";
import { nobody, who } from "./who.ts";

const plain: Record<string, (ask: Ask) => unknown> = {
  "GET /": screens.front.page,
  "GET /t/:id": screens.thread.page,
  "GET /u/:name": screens.profile.page,
  "GET /notices": screens.notices.page,
  "GET /sign-in": screens.signIn.page,
  "GET /sign-up": screens.signUp.page,

  "GET /-/data/": screens.front.data,
  "GET /-/data/t/:id": screens.thread.data,
  "GET /-/data/u/:name": screens.profile.data,
  "GET /-/data/notices": screens.notices.data,
  "GET /-/data/sign-in": screens.signIn.data,
  "GET /-/data/sign-up": screens.signUp.data,

  "POST /t": acts.start,
  "POST /t/:id/reply": acts.replyTo,
  "POST /comment": acts.comment,
  "POST /rate": acts.rate,
  "POST /sign-in": acts.signIn,
  "POST /sign-up": acts.signUp,
  "POST /sign-out": acts.signOut,

  "GET /-/a/:file": asset,
  "GET /-/icon.svg": favicon,

  "GET /*": (ask) => {
    throw new CageError("NOT_FOUND", `nothing is at ${ask.path}`);
  },
};

/**
 * What a person did wrong is answered within the request, where the page can still know who they are. A fault of ours goes
 * on to the runtime, which counts it, logs it, and has `failed` make its page.
 */
const answered =
  (route: (ask: Ask) => unknown): Route =>
  async (ask) => {
    try {
      return await route(ask);
    } catch (error) {
      if (refusal(error) === undefined && told(error).status >= 500) throw error;
      return await failed(error, ask);
    }
  };

export const routes: Routes = Object.fromEntries(Object.entries(plain).map(([key, route]) => [key, answered(route)]));

const statusOf: Readonly<Record<string, number>> = {
  NOT_FOUND: 404,
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  CONFLICT: 409,
  TOO_MANY: 429,
};

/** What went wrong, as a page. The runtime answers a code and a sentence when this fails too. */
export async function failed(error: unknown, ask: Ask): Promise<Reply> {
  const refused = refusal(error);
  const known = refused ? { ...refused, status: statusOf[refused.code] ?? 422 } : told(error);
  // An address that cannot be of anything is of nothing.
  const nothing = known.code === "BAD_INPUT" && ask.method !== "POST";
  const { code, status, message } = nothing ? { code: "NOT_FOUND", status: 404, message: "" } : known;
  // The way in is where one who is nobody wanted to go.
  if (code === "UNAUTHORIZED" && ask.method === "GET" && !byScript(ask))
    return reply({ status: 303, headers: { location: paths.signIn } });
  const asking = await who(ask).catch(() => nobody(ask));
  // Of what a person can do something about, the sentence is shown; of faults, and of what is not there, the page's own.
  const own = status < 500 && status !== 404;
  return show({
    ask,
    who: asking,
    component: ErrorPage,
    props: { status, code, message: own ? message : undefined },
    title: `${status} · Planet`,
    status,
  });
}
