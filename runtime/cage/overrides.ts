/**
 * Says that a module of a cage can stand for the shared one of its name: whoever imports "#shared/mail.ts" is checked
 * against the shared file, and gets the cage's. One line in the override, and a misfit is a type error there:
 *
 *     // cages/shop/mail.ts
 *     export type Fits = Overrides<typeof import("#shared/mail.ts"), typeof import("./mail.ts")>;
 */
export type Overrides<Shared, Own extends Shared> = Own;
