/**
 * Middleware order and mounts: the whole public surface can be read here. Owns nothing.
 */
import Router from '@koa/router'
import Koa from 'koa'
import type { Logger } from 'pino'
import type { Config } from './config/schema.ts'
import { systemClock } from './core/clock.ts'
import type { Database } from './db/pool.ts'
import { createClientAddress } from './http/client-address.ts'
import { createCookieJar } from './http/cookies.ts'
import { type RequestObserver, requestLog } from './http/log.ts'
import { problemErrors } from './http/problem.ts'
import { requestContexts } from './http/request-context.ts'
import { securityHeaders } from './http/security-headers.ts'
import { securityText } from './http/security-text.ts'
import { loginRoutes } from './login/routes.tsx'
import { providerRoutes } from './provider/routes.tsx'
import { scimRoutes } from './scim/routes.ts'
import { connectionTypes, type Services } from './services.ts'

type AppDeps = {
  config: Pick<Config, 'baseUrl' | 'trustedProxies' | 'securityContact'>
  db: Database
  services: Services
  logger: Logger
  observe: RequestObserver
}

export const createApp = ({ config, db, services, logger, observe }: AppDeps): Koa => {
  const { baseUrl } = config
  const jar = createCookieJar({ baseUrl })
  const app = new Koa()
  // Whatever reaches Koa itself came from a broken connection; our own edges have answered everything else.
  app.on('error', (error: Error) => logger.debug({ err: error }, 'connection'))

  app.use(requestContexts({ db }))
  app.use(requestLog({ logger, clientAddress: createClientAddress(config.trustedProxies), observe }))
  app.use(securityHeaders({ baseUrl }))
  app.use(problemErrors({ logger }))

  const router = new Router()
  securityText({ contact: config.securityContact, baseUrl, clock: systemClock })(router)
  const { journey, connections, clients, sessions, codes, keys, tokenEndpoint, tokenIssuer, logout } =
    services
  loginRoutes({ journey, connections, types: connectionTypes, jar, baseUrl, logger })(router)
  providerRoutes({
    journey,
    clients,
    sessions,
    codes,
    keys,
    tokenEndpoint,
    tokenIssuer,
    logout,
    jar,
    baseUrl,
    logger,
  })(router)
  scimRoutes({ directories: services.directories, users: services.scimUsers, baseUrl, logger })(router)
  app.use(router.routes())
  app.use(router.allowedMethods({ throw: false }))
  return app
}
