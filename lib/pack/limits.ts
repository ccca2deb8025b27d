/** What one message may hold, each with its reason. Writer and reader keep the same, so honest peers never meet them. */
export const packLimits = {
  /** Boxes in boxes: reading goes as deep on the stack, and beyond this a value is a circle or an attack. */
  depth: 200,
  /** Objects, arrays and the like in one message: the smallest take 1 byte to send and up to 250 bytes to hold. */
  boxes: 1 << 20,
  /** Shapes remembered for each direction of a connection: ids of one byte. */
  shapes: 64,
  /** An object with more members, or longer names, is a dictionary, whose shape will not come again. */
  shapeKeys: 64,
  shapeKeyLength: 64,
  /** Received bytes this long are a view of what came from the socket; shorter ones are copied, or they would keep 64 KiB alive. */
  viewBytes: 4096,
} as const;
