/**
 * Remembers what parsing gave, by the text it was parsed from: reading a PEM key costs most of a millisecond, and the
 * same few are read at every sign-in. Bounded; the oldest goes first. A text never means something else later, so there
 * is nothing to invalidate.
 */
export const parsedOnce = <T>(parse: (text: string) => T, limit = 1_000): ((text: string) => T) => {
  const kept = new Map<string, T>()
  return (text) => {
    const known = kept.get(text)
    if (known !== undefined) return known
    const parsed = parse(text)
    if (kept.size >= limit) kept.delete(kept.keys().next().value as string)
    kept.set(text, parsed)
    return parsed
  }
}
