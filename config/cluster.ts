import { defineCage } from "#runtime";

/** What holds for every cage of this cluster, over the defaults. One host needs nothing here. */
export const config = defineCage({});
