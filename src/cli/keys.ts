import type { Command } from 'commander'
import { withInstallation } from './command.ts'

export const keysCommands = (program: Command): void => {
  const keys = program.command('keys').description('signing keys')
  keys
    .command('rotate')
    .description(
      'sign with the next key from now on; the old one stays published until its tokens have expired',
    )
    .option('--force', 'although services may not have fetched the next key yet')
    .option('--json', 'print one JSON object')
    .action((options) =>
      withInstallation(options, async ({ services, ctx }) => {
        const rotated = await services.keys.rotate(ctx, { force: options.force === true })
        return {
          json: rotated,
          lines: [`active   ${rotated.active}`, `next     ${rotated.next}`, `retired  ${rotated.retired}`],
        }
      }),
    )
  keys
    .command('list')
    .description('list the signing keys and their states')
    .option('--json', 'print one JSON object')
    .action((options) =>
      withInstallation(options, async ({ services, ctx }) => {
        const list = await services.keys.states(ctx)
        return {
          json: { keys: list },
          lines: list.map(
            (key) => `${key.state.padEnd(8)} ${key.kid}  published ${key.publishedAt.toISOString()}`,
          ),
        }
      }),
    )
}
