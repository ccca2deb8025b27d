/**
 * Values that outlive generations: `keep("channels", () => new Map())` makes the value once in this process and hands
 * the same one to every later generation. For what a reload must not lose and a restart may: caches, subscriptions.
 * What must survive a restart belongs in a resource. The maker's code stays that of the first generation, so keep plain
 * data or instances of `lib/` classes, and let the modules around it change.
 */
const kept = new Map<string, unknown>();

export function keep<T>(name: string, make: () => T): T {
  if (!kept.has(name)) kept.set(name, make());
  return kept.get(name) as T;
}
