/**
 * SQL as a tagged template that can only bind: sql`select * from post where id = ${id}`. A hole is a value, never text;
 * another sql`...` in a hole is spliced in with its own values; `list([...])` binds the members of an `in (...)`.
 */
export interface Sql {
  readonly text: string;
  readonly values: readonly unknown[];
}

const brand = new WeakSet<Sql>();

function branded(text: string, values: readonly unknown[]): Sql {
  const query = Object.freeze({ text, values });
  brand.add(query);
  return query;
}

export function sql(strings: TemplateStringsArray, ...holes: readonly unknown[]): Sql {
  if (holes.every((hole) => !brand.has(hole as Sql))) return branded(strings.join("?"), holes);
  let text = strings[0] as string;
  const values: unknown[] = [];
  holes.forEach((hole, at) => {
    if (brand.has(hole as Sql)) {
      text += (hole as Sql).text;
      values.push(...(hole as Sql).values);
    } else {
      text += "?";
      values.push(hole);
    }
    text += strings[at + 1] as string;
  });
  return branded(text, values);
}

/** sql`... where id in ${list(ids)}`; an empty list matches nothing. */
export const list = (values: readonly unknown[]): Sql => branded(`(${values.map(() => "?").join(",")})`, values);
