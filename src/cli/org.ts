import type { Command } from 'commander'
import { fromId, toId } from '../core/ids.ts'
import { forOrg, inTx } from '../db/transaction.ts'
import { table, withInstallation } from './command.ts'

export const orgCommands = (program: Command): void => {
  const org = program.command('org').description('organisations and their domains')
  org
    .command('create')
    .description('make an organisation')
    .requiredOption('--name <name>', 'what people call it')
    .option('--domain <domain>', 'its mail domain')
    .option('--verified', 'you vouch that the domain is theirs')
    .option('--json', 'print one JSON object')
    .action((options) =>
      withInstallation(options, async ({ services, ctx }) => {
        // Organisation and domain stand or fall together.
        const made = await inTx(ctx, async (tx) => {
          const organisation = await services.organisations.create(tx, { name: options.name })
          const domain =
            options.domain === undefined
              ? undefined
              : await services.organisations.addDomain(forOrg(tx, organisation.id), {
                  name: options.domain,
                  verified: options.verified === true,
                })
          return { organisation, domain }
        })
        const id = toId('org', made.organisation.id)
        return {
          json: { id, name: made.organisation.name, domain: made.domain?.name },
          lines: table({
            id,
            name: made.organisation.name,
            ...(made.domain && { domain: made.domain.name }),
          }),
        }
      }),
    )
  org
    .command('list')
    .description('list the organisations')
    .option('--json', 'print one JSON object')
    .action((options) =>
      withInstallation(options, async ({ services, ctx }) => {
        const organisations = (await services.organisations.list(ctx)).map((o) => ({
          id: toId('org', o.id),
          name: o.name,
        }))
        return { json: { organisations }, lines: organisations.map((o) => `${o.id}  ${o.name}`) }
      }),
    )
  org
    .command('delete <id>')
    .description('delete an organisation and everything of it')
    .option('--json', 'print one JSON object')
    .action((id: string, options) =>
      withInstallation(options, async ({ services, ctx }) => {
        await services.organisations.remove(ctx, fromId('org', id))
        return { json: { deleted: id }, lines: [`deleted ${id}`] }
      }),
    )
}
