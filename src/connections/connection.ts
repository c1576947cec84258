import type { LinkRules } from '../directory/linking.ts'

export type ConnectionStatus = 'draft' | 'enabled' | 'disabled'

export type Connection = {
  /** UUID; `con_…` at the edge. */
  id: string
  type: string
  name: string
  status: ConnectionStatus
  config: Record<string, unknown>
  rules: LinkRules
}

/** What an admin may change; absent: as it is. */
export type ConnectionChange = {
  name?: string | undefined
  /** Merged over the stored configuration, then validated whole. */
  config?: Record<string, unknown> | undefined
  secrets?: Record<string, string> | undefined
  rules?: Partial<LinkRules> | undefined
}
