import type { Command } from 'commander'
import { loadConfig } from '../config/load.ts'
import { createLogger } from '../http/log.ts'
import { run } from '../main.ts'

export const serveCommand = (program: Command): void => {
  program
    .command('serve')
    .description('run the broker until SIGTERM')
    .action(async () => {
      const config = loadConfig(process.env)
      await run(config, createLogger(config.logLevel))
    })
}
