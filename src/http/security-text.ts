import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { Mount } from './mount.ts'

const VALID_DAYS = 180
const DAY_MS = 86_400_000

/**
 * `/.well-known/security.txt` (RFC 9116). It must expire; this one is as good as the process that serves it, so the date
 * moves along. Without a contact there is none: a page that nobody reads would be worse.
 */
export const securityText = ({
  contact,
  baseUrl,
  clock,
}: {
  contact: string | undefined
  baseUrl: string
  clock: Clock
}): Mount => {
  return (router) => {
    router.get('/.well-known/security.txt', async (koa) => {
      if (contact === undefined)
        throw new AppError('not_found', 'not_found', 'There is nothing at this address.')
      const expires = new Date(Math.floor(clock.now().getTime() / DAY_MS + VALID_DAYS) * DAY_MS)
      koa.type = 'text/plain; charset=utf-8'
      koa.body = [
        `Contact: ${contact}`,
        `Expires: ${expires.toISOString().replace(/\.\d+Z$/, 'Z')}`,
        'Preferred-Languages: en',
        `Canonical: ${baseUrl}/.well-known/security.txt`,
        '',
      ].join('\n')
    })
  }
}
