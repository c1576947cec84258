import type { Command } from 'commander'
import { fromId, toId } from '../core/ids.ts'
import { table, withInstallation } from './command.ts'

export const clientCommands = (program: Command): void => {
  const client = program.command('client').description('platform apps and services')
  client
    .command('create')
    .description('register an app; its secret is shown once')
    .requiredOption('--name <name>', 'what people see on the sign-in page')
    .requiredOption('--redirect-uri <uri...>', 'exact addresses that codes may go to')
    .option('--post-logout-redirect-uri <uri...>', 'exact addresses to come back to after signing out')
    .option('--audience <audience>', 'the aud of its access tokens (default: its client ID)')
    .option('--org <id>', 'an app of one organisation only')
    .option('--json', 'print one JSON object')
    .action((options) =>
      withInstallation(options, async ({ services, ctx }) => {
        const made = await services.clients.create(ctx, {
          name: options.name,
          redirectUris: options.redirectUri,
          ...(options.postLogoutRedirectUri && { postLogoutRedirectUris: options.postLogoutRedirectUri }),
          ...(options.audience && { audience: options.audience }),
          ...(options.org && { orgId: fromId('org', options.org) }),
        })
        const result = {
          clientId: toId('cli', made.client.id),
          clientSecret: made.clientSecret,
          audience: made.client.audience,
        }
        return { json: result, lines: table(result) }
      }),
    )
  client
    .command('list')
    .description('list the registered apps')
    .option('--json', 'print one JSON object')
    .action((options) =>
      withInstallation(options, async ({ services, ctx }) => {
        const clients = (await services.clients.list(ctx)).map((c) => ({
          clientId: toId('cli', c.id),
          name: c.name,
          audience: c.audience,
        }))
        return { json: { clients }, lines: clients.map((c) => `${c.clientId}  ${c.name}`) }
      }),
    )
}
