import type { Adapter, AdapterPayload } from 'oidc-provider'

type Entry = { payload: AdapterPayload; expires: number }

/**
 * What the demo OIDC IdP remembers, in memory; the interface is the one its package asks for. Clients are looked up in
 * `clients`, so that one can be registered while the IdP runs.
 */
export const createOidcStore = (clients: ReadonlyMap<string, AdapterPayload>) => {
  const entries = new Map<string, Entry>()

  const read = (key: string): AdapterPayload | undefined => {
    const entry = entries.get(key)
    if (entry && entry.expires <= Date.now()) entries.delete(key)
    else return entry?.payload
  }
  const findBy = (kind: string, field: 'uid' | 'userCode', value: string): AdapterPayload | undefined => {
    const key = [...entries].find(
      ([name, { payload }]) => name.startsWith(`${kind}:`) && payload[field] === value,
    )?.[0]
    return key === undefined ? undefined : read(key)
  }

  return (kind: string): Adapter => ({
    upsert: async (id, payload, expiresIn) => {
      const expires = expiresIn === undefined ? Number.POSITIVE_INFINITY : Date.now() + expiresIn * 1000
      entries.set(`${kind}:${id}`, { payload, expires })
    },
    find: async (id) => (kind === 'Client' ? clients.get(id) : read(`${kind}:${id}`)),
    findByUid: async (uid) => findBy(kind, 'uid', uid),
    findByUserCode: async (userCode) => findBy(kind, 'userCode', userCode),
    consume: async (id) => {
      const payload = read(`${kind}:${id}`)
      if (payload) payload.consumed = Math.floor(Date.now() / 1000)
    },
    destroy: async (id) => {
      entries.delete(`${kind}:${id}`)
    },
    revokeByGrantId: async (grantId) => {
      for (const [key, { payload }] of entries) if (payload.grantId === grantId) entries.delete(key)
    },
  })
}
