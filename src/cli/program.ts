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
import { doctorCommand } from './doctor.ts'
import { keysCommands } from './keys.ts'
import { migrateCommands } from './migrate.ts'
import { orgCommands } from './org.ts'
import { serveCommand } from './serve.ts'
import { userCommands } from './user.ts'

const groups = [
  serveCommand,
  migrateCommands,
  demoCommand,
  doctorCommand,
  orgCommands,
  connectionCommands,
  directoryCommands,
  clientCommands,
  userCommands,
  keysCommands,
]

/** Every command group on one program. */
export const createProgram = (): Command => {
  const program = new Command('portico')
    .description('Portico, an SSO and SCIM identity broker')
    .showHelpAfterError('(portico --help lists the commands)')
    .configureHelp({ sortSubcommands: true })
  for (const add of groups) add(program)
  return program
}

const sentenceOf = (thrown: unknown): string => {
  const error = asDatabaseFault(thrown)
  if (error instanceof AppError) return error.message
  return `Something went wrong that Portico did not expect: ${error instanceof Error ? error.message : String(error)}`
}

/** Runs one command line (without node and script). Sets the exit code; never throws. */
export const runCommand = async (args: readonly string[]): Promise<void> => {
  try {
    await createProgram().parseAsync(args, { from: 'user' })
  } catch (thrown) {
    process.stderr.write(`portico: ${sentenceOf(thrown)}\n`)
    process.exitCode = 1
  }
}
