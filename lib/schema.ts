/** The one door to zod: schemas for configuration and for everything that comes from outside. */
export { z } from "zod";
