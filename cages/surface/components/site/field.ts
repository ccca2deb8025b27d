/** One labelled input of a form, with what is wrong with it. */
import { type Html, html } from "#lib/template/html.ts";

export interface Field {
  readonly id: string;
  readonly name: string;
  readonly label: string;
  readonly type?: "text" | "password";
  readonly value?: string | undefined;
  readonly error?: string | undefined;
  readonly autocomplete?: string;
  readonly hint?: string | undefined;
  readonly maxlength: number;
}

export const field = (f: Field): Html => html`
  <div class="field">
    <label for=${f.id}>${f.label}</label>
    <input id=${f.id} name=${f.name} type=${f.type ?? "text"} value=${f.value} maxlength=${f.maxlength} required
      autocomplete=${f.autocomplete ?? "off"} aria-invalid=${f.error !== undefined && "true"}
      aria-describedby=${(f.error ?? f.hint) !== undefined && `${f.id}-note`}>
    ${f.error !== undefined ? html`<p class="wrong" id="${f.id}-note">${f.error}</p>` : f.hint !== undefined && html`<p class="fine" id="${f.id}-note">${f.hint}</p>`}
  </div>`;

/** The same for longer text. */
export const area = (f: Omit<Field, "type" | "autocomplete"> & { readonly rows: number }): Html => html`
  <div class="field">
    <label for=${f.id}>${f.label}</label>
    <textarea id=${f.id} name=${f.name} rows=${f.rows} maxlength=${f.maxlength} required aria-invalid=${f.error !== undefined && "true"}>${f.value}</textarea>
    ${f.error !== undefined && html`<p class="wrong">${f.error}</p>`}
  </div>`;
