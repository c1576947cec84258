/**
 * The composition root: builds every capability once, in the order of the layout, from named dependencies. Owns nothing.
 * A new connection type is one line in `typesWith`.
 */
import type { Logger } from 'pino'
import { createAudit } from './audit/audit.ts'
import { createClients } from './clients/clients.ts'
import { createConnections } from './connections/connections.ts'
import type { ConnectionType } from './connections/contract.ts'
import type { Clock } from './core/clock.ts'
import { createEnvelope } from './crypto/envelope.ts'
import { createLinking } from './directory/linking.ts'
import { createOrganisations } from './directory/organisations.ts'
import { createUsers } from './directory/users.ts'
import { createHomeRealm } from './login/home-realm.ts'
import { createJourney } from './login/journey.ts'
import { createRefusalTrail } from './login/refusal-trail.ts'
import { createOutbound } from './net/outbound.ts'
import { oidcConnection } from './oidc/oidc.ts'
import { createLogout } from './provider/logout.ts'
import { createTokenEndpoint } from './provider/token.ts'
import { createOpinionPool } from './saml/opinion-pool.ts'
import { createSamlConnection } from './saml/saml.ts'
import type { SecondOpinion } from './saml/second-opinion.ts'
import { createDirectories } from './scim/directories.ts'
import { createScimUsers } from './scim/users.ts'
import { createSessions } from './sessions/sessions.ts'
import { createTokenIssuer } from './tokens/access-token.ts'
import { createCodes } from './tokens/codes.ts'
import { createEndSessions } from './tokens/end-session.ts'
import { createRefreshTokens } from './tokens/refresh.ts'
import { createSigningKeys } from './tokens/signing-keys.ts'

const typesWith = (secondOpinion: SecondOpinion | null): readonly ConnectionType[] => [
  createSamlConnection(secondOpinion),
  oidcConnection,
]

/** For what is the same whatever a type is made with: its name, its paths. */
export const connectionTypes = typesWith(null)

export type ServiceDeps = {
  baseUrl: string
  masterKey: Buffer
  outboundAllowLoopback: boolean
  /** Unset: on. */
  samlSecondOpinion?: boolean
  clock: Clock
  logger: Logger
}

export type Services = ReturnType<typeof createServices>

export const createServices = ({
  baseUrl,
  masterKey,
  outboundAllowLoopback,
  samlSecondOpinion = true,
  clock,
  logger,
}: ServiceDeps) => {
  const envelope = createEnvelope({ kek: masterKey })
  const outbound = createOutbound({ allowLoopback: outboundAllowLoopback })
  const secondOpinion = createOpinionPool()
  const audit = createAudit({ clock })
  const sessions = createSessions({ clock })
  const keys = createSigningKeys({ envelope, clock, audit })
  const refreshTokens = createRefreshTokens({ clock, audit })
  const codes = createCodes({ clock, sessions, refreshTokens, audit })
  const endSessions = createEndSessions({ sessions, clock })
  const tokenIssuer = createTokenIssuer({ keys, sessions, clock, issuer: baseUrl })
  const organisations = createOrganisations({ audit, clock })
  const users = createUsers({ audit, clock, endSessions })
  const linking = createLinking({ users, audit, clock })
  const clients = createClients({ audit, clock })
  const connections = createConnections({
    types: typesWith(samlSecondOpinion ? secondOpinion.ask : null),
    envelope,
    audit,
    clock,
    fetch: outbound.fetch,
    baseUrl,
  })
  const homeRealm = createHomeRealm({ organisations, connections })
  const refusals = createRefusalTrail({ audit, logger })
  const journey = createJourney({
    homeRealm,
    connections,
    linking,
    sessions,
    codes,
    envelope,
    audit,
    refusals,
    clock,
    issuer: baseUrl,
  })
  const tokenEndpoint = createTokenEndpoint({ clients, codes, refreshTokens, issuer: tokenIssuer })
  const logout = createLogout({ issuer: tokenIssuer, clients, endSessions, audit })
  const directories = createDirectories({ clock, audit })
  const scimUsers = createScimUsers({ users })
  return {
    envelope,
    outbound,
    /** Its threads are started by the first login; closed with the process. */
    secondOpinion,
    audit,
    sessions,
    keys,
    refreshTokens,
    codes,
    endSessions,
    tokenIssuer,
    organisations,
    users,
    linking,
    clients,
    connections,
    journey,
    tokenEndpoint,
    logout,
    directories,
    scimUsers,
  }
}
