import { z } from 'zod'
import { sentenceOnIssuer } from './issuer.ts'

/** Asymmetric only: with HS256 the key would be a value that the IdP publishes or that we both know. */
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const

const Scope = z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'A scope is printable ASCII without spaces.')

/** The settings of an OIDC connection; issuer and client ID are absent while it is a draft. */
export const OidcConfig = z.strictObject({
  issuer: z
    .string()
    .max(2048)
    .superRefine((issuer, context) => {
      const sentence = sentenceOnIssuer(issuer)
      if (sentence !== null) context.addIssue({ code: 'custom', message: sentence })
    })
    .optional(),
  clientId: z.string().trim().min(1).max(512).optional(),
  scopes: z
    .array(Scope)
    .max(32)
    .refine((scopes) => scopes.includes('openid'), 'The scopes must include openid.')
    .default(['openid', 'profile', 'email']),
  idTokenAlgorithm: z.enum(ALGORITHMS).default('RS256'),
  /** How the client secret travels; unset: as the IdP's metadata says. */
  clientAuthentication: z.enum(['client_secret_basic', 'client_secret_post']).optional(),
  responseMode: z.enum(['query', 'form_post']).default('query'),
  /** Asked for in this order of preference; what came back is in the identity's `acr`. */
  acrValues: z.array(Scope).max(16).default([]),
})

export type OidcConfig = z.infer<typeof OidcConfig>
