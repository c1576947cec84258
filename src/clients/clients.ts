/**
 * Platform apps and services that trust our tokens. Owns `clients`. Invariants: redirect URIs are exact strings,
 * registered beforehand; a client of one organisation signs in only that organisation's users; secrets are stored hashed
 * and shown once.
 */
import type { Audit } from '../audit/audit.ts'
import type { Clock } from '../core/clock.ts'
import type { Ctx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import { parseId, toId } from '../core/ids.ts'
import { mintCredential, parseCredential } from '../crypto/credentials.ts'
import { equalBytes } from '../crypto/hash.ts'
import { inTx } from '../db/transaction.ts'
import type { Client, NewClient } from './client.ts'
import * as repo from './clients.repo.ts'

export type Clients = ReturnType<typeof createClients>

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

/** @throws AppError `invalid`/`redirect_uri` */
const demandRedirectUri = (uri: string): string => {
  const url = URL.canParse(uri) ? new URL(uri) : undefined
  const acceptable =
    url !== undefined &&
    (url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK.has(url.hostname))) &&
    url.hash === '' &&
    url.username === '' &&
    url.password === '' &&
    !/[\s\\]/.test(uri)
  if (!acceptable) {
    throw new AppError(
      'invalid',
      'redirect_uri',
      `“${uri.slice(0, 200)}” cannot be a redirect URI: it must be an absolute https URL without fragment (http for localhost).`,
    )
  }
  return uri
}

export const createClients = ({ audit, clock }: { audit: Audit; clock: Clock }) => {
  /** @throws AppError `invalid`/`redirect_uri` | `client_name` */
  const create = (ctx: Ctx, request: NewClient): Promise<{ client: Client; clientSecret: string }> =>
    inTx(ctx, async (tx) => {
      const name = request.name.trim()
      if (name.length === 0 || name.length > 200) {
        throw new AppError('invalid', 'client_name', 'A client needs a name of 1 to 200 characters.')
      }
      const orgId = request.orgId ?? null
      const { id, token, hash } = mintCredential('client', orgId)
      const client: Client = {
        id,
        orgId,
        name,
        redirectUris: request.redirectUris.map(demandRedirectUri),
        postLogoutRedirectUris: (request.postLogoutRedirectUris ?? []).map(demandRedirectUri),
        audience: request.audience ?? toId('cli', id),
      }
      await repo.insert(tx, client, hash, clock.now())
      await audit.recordForPlatform(tx, {
        action: 'client.created',
        target: { type: 'client', id },
        facts: { name },
      })
      return { client, clientSecret: token }
    })

  /** By public ID (`cli_…`); undefined where unknown or disabled. */
  const find = async (ctx: Ctx, clientId: string): Promise<Client | undefined> => {
    const id = parseId('cli', clientId)
    return id === null ? undefined : (await repo.find(ctx, id))?.client
  }

  const byUuid = async (ctx: Ctx, id: string): Promise<Client | undefined> =>
    (await repo.find(ctx, id))?.client

  /** @throws AppError `unauthenticated`/`invalid_client`, the same whatever was wrong */
  const authenticate = async (ctx: Ctx, clientId: string, clientSecret: string): Promise<Client> => {
    const id = parseId('cli', clientId)
    const credential = parseCredential('client', clientSecret)
    const found = id !== null && credential?.id === id ? await repo.find(ctx, id) : undefined
    if (!found || !credential || !equalBytes(credential.hash, found.hash)) {
      throw new AppError('unauthenticated', 'invalid_client', 'The client could not be authenticated.')
    }
    return found.client
  }

  return { create, find, byUuid, authenticate, list: repo.list }
}
