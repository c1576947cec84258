const PATTERN = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/

/** An xs:dateTime in UTC, the one form SAML has (core section 1.3.3), or null. `2026-02-30` is null, not 2 March. */
export const parseInstant = (text: string): Date | null => {
  if (!PATTERN.test(text)) return null
  const instant = new Date(text)
  const holds = !Number.isNaN(instant.getTime()) && instant.toISOString().slice(0, 19) === text.slice(0, 19)
  return holds ? instant : null
}
