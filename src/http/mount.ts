/**
 * The Koa kit: what every edge needs and no capability owns. Request contexts, guards, error mapping, cookies, CSRF,
 * headers, pages. Owns no table and knows no capability.
 */
import type Router from '@koa/router'

/** A capability's routes, hung on the router that app.ts gives them. */
export type Mount = (router: Router) => void
