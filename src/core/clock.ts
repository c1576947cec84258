/** Time is a dependency: rules ask a `Clock`, tests move it. */
export type Clock = {
  /** The current instant. */
  now: () => Date
}

export const systemClock: Clock = { now: () => new Date() }

/** Whole seconds since the epoch, the unit of every JWT claim (RFC 7519 section 2, NumericDate). */
export const toSeconds = (instant: Date): number => Math.floor(instant.getTime() / 1000)

export const addSeconds = (instant: Date, seconds: number): Date =>
  new Date(instant.getTime() + seconds * 1000)
