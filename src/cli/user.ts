import type { Command } from 'commander'
import { toId } from '../core/ids.ts'
import { inTx } from '../db/transaction.ts'
import { orgOf, withInstallation } from './command.ts'

export const userCommands = (program: Command): void => {
  const user = program.command('user').description('people')
  const setActive = (verb: 'deactivate' | 'reactivate', description: string) =>
    user
      .command(`${verb} <id>`)
      .description(description)
      .option('--json', 'print one JSON object')
      .action((id: string, options) =>
        withInstallation(options, async ({ services, ctx }) => {
          const found = await orgOf(ctx, 'usr', id, 'org_of_user')
          const after = await services.users.setActive(found.ctx, found.uuid, verb === 'reactivate')
          return {
            json: { id, active: after.active },
            lines: [`${id}  ${after.active ? 'active' : 'inactive'}`],
          }
        }),
      )
  setActive('deactivate', 'lock someone out: every session and token ends at once')
  setActive('reactivate', 'let someone sign in again; nothing that ended comes back')
  user
    .command('sessions <id>')
    .description('list the live sessions of someone')
    .option('--json', 'print one JSON object')
    .action((id: string, options) =>
      withInstallation(options, async ({ services, ctx }) => {
        const found = await orgOf(ctx, 'usr', id, 'org_of_user')
        const live = await inTx(found.ctx, (tx) => services.sessions.listLive(tx, found.uuid, new Date()))
        const sessions = live.map((s) => ({ id: toId('ses', s.id), since: s.createdAt, until: s.expiresAt }))
        return { json: { sessions }, lines: sessions.map((s) => `${s.id}  since ${s.since.toISOString()}`) }
      }),
    )
}
