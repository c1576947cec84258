import { parseId } from '../core/ids.ts'
import { scimFault } from './faults.ts'
import { type BoundFilter, bindFilter } from './filter-binding.ts'
import { type FilterSyntax, parseFilter } from './filter-parser.ts'
import { resolvePath, userType } from './resource-types.ts'

/** One page's worth of answer at most; told in ServiceProviderConfig. */
export const MAX_RESULTS = 200
const DEFAULT_RESULTS = 100

/** What a list is narrowed by: all must hold. An `id` of null is one that no user can have. */
export type UserCondition =
  | { by: 'userName'; value: string }
  | { by: 'externalId'; value: string }
  | { by: 'id'; value: string | null }

export type UserQuery = {
  conditions: readonly UserCondition[]
  /** 1-based (RFC 7644 section 3.4.2.4). */
  startIndex: number
  count: number
}

const OFFERED = ['userName', 'externalId', 'id']

const notOffered = () =>
  scimFault(
    'invalid_filter',
    `This filter is well-formed but not offered: users are filtered by ${OFFERED.join(', ')} with eq, joined by and.`,
  )

const conditions = (filter: BoundFilter): UserCondition[] => {
  if (filter.kind === 'and') return filter.of.flatMap(conditions)
  if (filter.kind !== 'compare' || filter.operator !== 'eq') throw notOffered()
  const { operand, value } = filter
  const [name, ...deeper] = operand.steps
  if (deeper.length > 0 || typeof value !== 'string') throw notOffered()
  if (name === 'userName' || name === 'externalId') return [{ by: name, value }]
  if (name === 'id') return [{ by: 'id', value: parseId('usr', value) }]
  throw notOffered()
}

const whole = (name: string, text: string | undefined): number | null => {
  if (text === undefined || text === '') return null
  if (/^[+-]?\d{1,15}$/.test(text)) return Number(text)
  throw scimFault('invalid_value', `${name} has to be a whole number.`)
}

/** @throws AppError `invalid`: `invalid_filter`, `invalid_value` */
export const readUserQuery = (
  query: Readonly<Record<string, string | undefined>>,
  syntax: FilterSyntax,
): UserQuery => {
  const filter =
    query.filter === undefined
      ? null
      : bindFilter(parseFilter(query.filter, syntax), (path) => resolvePath(userType, path))
  const count = whole('count', query.count) ?? DEFAULT_RESULTS
  return {
    conditions: filter === null ? [] : conditions(filter),
    startIndex: Math.max(1, whole('startIndex', query.startIndex) ?? 1),
    count: Math.min(MAX_RESULTS, Math.max(0, count)),
  }
}
