import type { Command } from 'commander'
import { loadConfig } from '../config/load.ts'
import { withOwner } from '../db/attach.ts'
import { migrateDown, migrateUp, migrationStatus } from '../db/migrations.ts'
import type { Database } from '../db/pool.ts'
import { type Output, print } from './command.ts'

const asOwner = async (options: { json?: boolean }, work: (db: Database) => Promise<Output>): Promise<void> =>
  print(await withOwner(loadConfig(process.env), work), options)

const moved = (verb: string, names: string[]): Output => ({
  json: { [verb]: names },
  lines: names.length === 0 ? ['nothing to do'] : names.map((name) => `${verb} ${name}`),
})

export const migrateCommands = (program: Command): void => {
  const migrate = program.command('migrate').description('bring the schema to this version')
  migrate
    .command('up')
    .description('apply the migrations that are missing')
    .option('--json', 'print one JSON object')
    .action((options) => asOwner(options, async (db) => moved('applied', await migrateUp(db))))
  migrate
    .command('down')
    .description('take the last batch back (development only)')
    .option('--json', 'print one JSON object')
    .action((options) => asOwner(options, async (db) => moved('reverted', await migrateDown(db))))
  migrate
    .command('status')
    .description('say what is applied and what is missing')
    .option('--json', 'print one JSON object')
    .action((options) =>
      asOwner(options, async (db) => {
        const status = await migrationStatus(db)
        const lines = Object.entries(status).flatMap(([state, names]) =>
          names.map((name) => `${state.padEnd(8)} ${name}`),
        )
        return { json: status, lines }
      }),
    )
}
