import type { Command } from 'commander'
import { fromId, toId } from '../core/ids.ts'
import { orgOf, table, withInstallation } from './command.ts'

export const directoryCommands = (program: Command): void => {
  const directory = program.command('directory').description('SCIM sources of an organisation')
  directory
    .command('create')
    .description('make a SCIM endpoint; its token is shown once')
    .requiredOption('--org <id>', 'the organisation')
    .option('--profile <profile>', 'the IdP’s dialect', 'generic')
    .option('--connection <id>', 'the connection whose sign-ins belong to its users')
    .option('--json', 'print one JSON object')
    .action((options) =>
      withInstallation(options, async ({ services, ctx, config }) => {
        const orgCtx = await services.organisations.demand(ctx, fromId('org', options.org))
        const made = await services.directories.create(orgCtx, {
          profile: options.profile,
          ...(options.connection && { connectionId: fromId('con', options.connection) }),
        })
        const id = toId('dir', made.id)
        const result = { id, baseUrl: `${config.baseUrl}/scim/v2/${id}`, token: made.token }
        return { json: result, lines: table(result) }
      }),
    )
  directory
    .command('rotate-token <id>')
    .description('make a new token; the old ones stop')
    .option('--overlap <seconds>', 'let the old ones live on for this long', '0')
    .option('--json', 'print one JSON object')
    .action((id: string, options) =>
      withInstallation(options, async ({ services, ctx }) => {
        const found = await orgOf(ctx, 'dir', id, 'org_of_directory')
        const { token } = await services.directories.rotateToken(found.ctx, found.uuid, {
          overlapSeconds: Number(options.overlap),
        })
        return { json: { id, token }, lines: table({ id, token }) }
      }),
    )
  directory
    .command('delete <id>')
    .description('delete a SCIM endpoint and its tokens; its users stay')
    .option('--json', 'print one JSON object')
    .action((id: string, options) =>
      withInstallation(options, async ({ services, ctx }) => {
        const found = await orgOf(ctx, 'dir', id, 'org_of_directory')
        await services.directories.delete(found.ctx, found.uuid)
        return { json: { deleted: id }, lines: [`deleted ${id}`] }
      }),
    )
}
