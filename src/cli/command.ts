import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import type { Ctx, OrgCtx } from '../core/ctx.ts'
import { AppError } from '../core/errors.ts'
import { fromId, type IdPrefix, newUuid } from '../core/ids.ts'
import { forOrg, type LookupFunction, lookUpOrg } from '../db/transaction.ts'
import { createLogger } from '../http/log.ts'
import { openInstallation } from '../main.ts'
import type { Services } from '../services.ts'

/** What a command shows: `json` is the one object on stdout under `--json`; `lines` are for people. */
export type Output = { json: unknown; lines: string[] }

export type CommandContext = { services: Services; ctx: Ctx; config: Config }

export const print = ({ json, lines }: Output, options: { json?: boolean }): void => {
  process.stdout.write(options.json ? `${JSON.stringify(json)}\n` : `${lines.join('\n')}\n`)
}

/** Runs a command against the installation's own database, whether or not a server runs beside it. */
export const withInstallation = async (
  options: { json?: boolean },
  work: (context: CommandContext) => Promise<Output>,
): Promise<void> => {
  const config = loadConfig(process.env)
  const installation = await openInstallation(config, createLogger('silent'))
  try {
    const ctx = installation.contextFor({ type: 'cli' }, `cli_${newUuid()}`)
    print(await work({ services: installation.services, ctx, config }), options)
  } finally {
    await installation.close()
  }
}

/** The organisation of an ID given on the command line, and the UUID in it. @throws AppError `not_found` */
export const orgOf = async (
  ctx: Ctx,
  prefix: IdPrefix,
  id: string,
  by: LookupFunction,
): Promise<{ ctx: OrgCtx; uuid: string }> => {
  const uuid = fromId(prefix, id)
  const orgId = await lookUpOrg(ctx, by, uuid)
  if (orgId === null) throw new AppError('not_found', 'not_found', `There is no ${id} here.`)
  return { ctx: forOrg(ctx, orgId), uuid }
}

/** The content of a file, or of stdin for `-`. @throws AppError `invalid`/`file_unreadable` */
export const readSource = async (path: string): Promise<string> => {
  if (path === '-') return text(process.stdin)
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new AppError('invalid', 'file_unreadable', `The file ${path} cannot be read.`, { cause })
  }
}

export const table = (rows: Record<string, string>): string[] => {
  const width = Math.max(...Object.keys(rows).map((name) => name.length))
  return Object.entries(rows).map(([name, value]) => `${name.padEnd(width)}  ${value}`)
}
