import { once } from 'node:events'
import type { Command } from 'commander'
import { runJourney, type Step } from '../demo/journey.ts'
import { startWorld, type World } from '../demo/world.ts'
import { createLogger } from '../http/log.ts'

const line = ({ ok, ms, name, detail }: Step): string =>
  `${ok ? 'ok  ' : 'FAIL'} ${String(ms).padStart(6)} ms  ${name}: ${detail}\n`

const invitation = (world: World): string => `
Try it by hand (Ctrl-C ends everything and leaves nothing behind):
  the app        ${world.app.url}   sign in as bob@acme-labs.test or carol@globex.test (alice is deactivated)
  the broker     ${world.baseUrl}
  the SAML IdP   ${world.saml.url}
  the OIDC IdP   ${world.oidc.issuer}
  health         ${world.managementUrl}/health/ready
`

export const demoCommand = (program: Command): void => {
  program
    .command('demo')
    .description('walk the whole journey against real protocol peers, on a database of its own')
    .option('--once', 'end after the journey')
    .option('--json', 'print one JSON object')
    .action(async (options: { once?: boolean; json?: boolean }) => {
      const world = await startWorld({ memorable: options.once !== true, logger: createLogger('silent') })
      try {
        const result = await runJourney(world, (step) => {
          if (!options.json) process.stdout.write(line(step))
        })
        if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`)
        if (!result.ok) process.exitCode = 1
        if (options.once !== true) {
          if (!options.json) process.stdout.write(invitation(world))
          await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
        }
      } finally {
        await world.close()
      }
    })
}
