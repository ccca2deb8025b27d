import { World } from "../../../runtime/testing/world.ts";
import { engineContract } from "../../contract/engine.ts";

engineContract("test world's", async () => {
  const world = new World();
  world.enter();
  return { join: (cage) => world.join(cage), close: async () => world.leave() };
});
