/** A driver does one operation at a time, as a browser and an app would; the closed loop runs many of them. */
export type Driver = {
  /** Everything that is there before the clock starts: sessions, tokens, users. */
  prepare: () => Promise<void>
  operation: (slot: number) => Promise<void>
}

export type AppClient = { clientId: string; clientSecret: string; redirectUri: string }

/** Turns through `items`, each slot through its own: two slots never use one at the same time. */
export const takeTurns = (slots: number, count: number): ((slot: number) => number) => {
  const mine = Math.floor(count / slots)
  const turns = new Array<number>(slots).fill(0)
  return (slot) => {
    const turn = turns[slot] as number
    turns[slot] = (turn + 1) % mine
    return slot * mine + turn
  }
}

/** Runs `work` for 0…count-1, a few at a time. */
export const inParallel = async (count: number, width: number, work: (index: number) => Promise<void>) => {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) {
      const index = next
      next += 1
      await work(index)
    }
  }
  await Promise.all(Array.from({ length: width }, worker))
}
