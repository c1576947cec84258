import { describe, expect, test } from 'vitest'
import { AppError } from '../../src/core/errors.ts'

describe('an AppError', () => {
  test('keeps cause and detail beside its message, never in it', () => {
    const cause = new Error('the driver’s words')
    const error = new AppError('conflict', 'user_exists', 'There is such a user already.', {
      cause,
      detail: { directory: 'dir_1' },
    })
    expect(error).toMatchObject({ kind: 'conflict', code: 'user_exists', detail: { directory: 'dir_1' } })
    expect(error.message).toBe('There is such a user already.')
    expect(error.cause).toBe(cause)
  })

  test('without a cause has none, rather than an undefined one', () => {
    expect('cause' in new AppError('invalid', 'no', 'No.')).toBe(false)
  })
})
