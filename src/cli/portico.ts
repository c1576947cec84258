#!/usr/bin/env node
/**
 * The `portico` command, one file per command group. Owns nothing: each command is a door to the same functions that the
 * pages and SCIM use. One JSON object on stdout under `--json`; errors are a sentence on stderr and a non-zero exit.
 */
import { Command } from 'commander'
import { AppError } from '../core/errors.ts'
import { asDatabaseFault } from '../db/faults.ts'
import { clientCommands } from './client.ts'
import { connectionCommands } from './connection.ts'
import { demoCommand } from './demo.ts'
import { directoryCommands } from './directory.ts'
import { keysCommands } from './keys.ts'
import { migrateCommands } from './migrate.ts'
import { orgCommands } from './org.ts'
import { serveCommand } from './serve.ts'
import { userCommands } from './user.ts'

const program = new Command('portico')
  .description('Portico, an SSO and SCIM identity broker')
  .showHelpAfterError('(portico --help lists the commands)')
  .configureHelp({ sortSubcommands: true })

for (const add of [
  serveCommand,
  migrateCommands,
  demoCommand,
  orgCommands,
  connectionCommands,
  directoryCommands,
  clientCommands,
  userCommands,
  keysCommands,
]) {
  add(program)
}

const complain = (thrown: unknown): void => {
  const error = asDatabaseFault(thrown)
  const sentence =
    error instanceof AppError
      ? error.message
      : `Something went wrong that Portico did not expect: ${error instanceof Error ? error.message : String(error)}`
  process.stderr.write(`portico: ${sentence}\n`)
  process.exitCode = 1
}

await program.parseAsync().catch(complain)
