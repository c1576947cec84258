import { describe, expect, test } from 'vitest'
import { addSeconds, systemClock, toSeconds } from '../../src/core/clock.ts'

describe('time', () => {
  test('in JWT claims is whole seconds, rounded down so that nothing is issued in the future', () => {
    expect(toSeconds(new Date('2030-01-01T00:00:00.999Z'))).toBe(Date.UTC(2030, 0, 1) / 1000)
  })

  test('moves by seconds, forwards and back', () => {
    const noon = new Date('2030-01-01T12:00:00Z')
    expect(addSeconds(noon, 60).toISOString()).toBe('2030-01-01T12:01:00.000Z')
    expect(addSeconds(noon, -0.5).toISOString()).toBe('2030-01-01T11:59:59.500Z')
    expect(noon.toISOString()).toBe('2030-01-01T12:00:00.000Z')
  })

  test('by the system’s clock is now', () => {
    expect(Math.abs(systemClock.now().getTime() - Date.now())).toBeLessThan(1000)
  })
})
