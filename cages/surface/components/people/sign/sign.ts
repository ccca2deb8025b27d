/** Signing in, and joining: two forms that differ in little. */
import { html } from "#lib/template/html.ts";
import { component } from "../../../context.ts";
import { paths } from "../../../paths.ts";
import { field } from "../../site/field.ts";
import { t } from "./text.ts";

export interface SignProps {
  readonly way: "in" | "up";
  readonly name?: string;
  readonly error?: string | undefined;
  readonly errors?: Readonly<Record<string, string>> | undefined;
}

export const Sign = component<SignProps>("people/sign", {
  key: (p) => p.way,
  view: (p, cx) => {
    const say = t(cx);
    const up = p.way === "up";
    const title = up ? say.signUp() : say.signIn();
    return html`
      <main class="sign card">
        <h1>${title}</h1>
        <form method="post" action=${up ? paths.signUp : paths.signIn}>
          ${p.error !== undefined && html`<p class="wrong" role="alert">${p.error}</p>`}
          ${field({ id: "sign-name", name: "name", label: say.name(), maxlength: 100, autocomplete: "username", value: p.name, error: p.errors?.["name"], hint: up ? say.nameHint() : undefined })}
          ${field({ id: "sign-password", name: "password", type: "password", label: say.password(), maxlength: 1_000, autocomplete: up ? "new-password" : "current-password", error: p.errors?.["password"], hint: up ? say.passwordHint() : undefined })}
          <button>${title}</button>
        </form>
        <p class="fine">${
          up
            ? say.known.rich(html, { in: (text) => html`<a href=${paths.signIn}>${text}</a>` })
            : say.new.rich(html, { up: (text) => html`<a href=${paths.signUp}>${text}</a>` })
        }</p>
      </main>`;
  },
});
