/** The part we use of a development package that has no types. */
declare module 'samlp' {
  type Done<T> = (error: Error | null | undefined, value?: T) => void
  export type ParsedRequest = {
    id?: string
    issuer?: string
    destination?: string
    assertionConsumerServiceURL?: string
    forceAuthn?: string
  }
  export type ProfileMapper = {
    getClaims: () => Record<string, string | readonly string[] | undefined>
    getNameIdentifier: () => { nameIdentifier: string; nameIdentifierFormat?: string }
  }
  export type ResponseOptions<User> = {
    issuer: string
    cert: string
    key: string
    audience: string
    recipient: string
    destination: string
    inResponseTo: string
    lifetimeInSeconds: number
    signatureAlgorithm: 'rsa-sha256'
    digestAlgorithm: 'sha256'
    authnContextClassRef: string
    sessionIndex: string
    profileMapper: (user: User) => ProfileMapper
  }
  const samlp: {
    parseRequest: (
      request: { query: Readonly<Record<string, string>> },
      options: { signingCert?: string; relayState?: string },
      done: Done<ParsedRequest>,
    ) => void
    getSamlResponse: <User>(options: ResponseOptions<User>, user: User, done: Done<string>) => void
  }
  export default samlp
}
