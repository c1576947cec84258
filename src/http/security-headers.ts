import helmet from 'helmet'
import type { Middleware } from 'koa'
import { STYLE_HASH } from './html/style.ts'

/**
 * Strict by default: no script, no frame, styles by hash. There is deliberately no `form-action`: Chromium holds it
 * against the whole redirect chain, and our login form ends at the IdP by design. The referrer policy is `same-origin`
 * and not `no-referrer`, under which browsers send `Origin: null` with our own forms.
 */
export const securityHeaders = ({ baseUrl }: { baseUrl: string }): Middleware => {
  const secure = baseUrl.startsWith('https:')
  const apply = helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        styleSrc: [STYLE_HASH],
        // The icon of our own pages; nothing is fetched for it.
        imgSrc: ['data:'],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"],
      },
    },
    strictTransportSecurity: secure ? { maxAge: 63_072_000, includeSubDomains: true } : false,
    referrerPolicy: { policy: 'same-origin' },
    frameguard: { action: 'deny' },
    // Whoever opened this window can neither steer nor watch it; everything else helmet sets by itself stays.
    crossOriginOpenerPolicy: { policy: 'same-origin' },
  })
  return async (koa, next) => {
    await new Promise<void>((resolve, reject) => {
      apply(koa.req, koa.res, (error?: unknown) => (error ? reject(error) : resolve()))
    })
    await next()
  }
}
