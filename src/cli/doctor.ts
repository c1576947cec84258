import type { Command } from 'commander'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { systemClock } from '../core/clock.ts'
import type { Ctx } from '../core/ctx.ts'
import { loadMasterKey } from '../crypto/master-key.ts'
import { openEmbedded } from '../db/embedded/embedded.ts'
import { openDatabase } from '../db/pool.ts'
import { createLogger } from '../http/log.ts'
import { createServices, type Services } from '../services.ts'
import { print } from './command.ts'
import { examine, type Patient } from './examination.ts'

/** Unlike any other command it does not demand a sound installation first: finding what is unsound is its work. */
const withPatient = async <T>(config: Config, work: (patient: Patient) => Promise<T>): Promise<T> => {
  const embedded =
    config.databaseUrl === undefined ? await openEmbedded({ dataDir: config.dataDir }) : undefined
  const db = openDatabase({ url: embedded?.urls.app ?? (config.databaseUrl as string), size: 2 })
  const ctx: Ctx = { db, actor: { type: 'cli' }, requestId: 'doctor' }
  let built: Services | undefined
  // Only when asked for: without a master key there are none, and that is a finding of its own.
  const services = (): Services => {
    built ??= createServices({
      baseUrl: config.baseUrl,
      masterKey: loadMasterKey(config),
      outboundAllowLoopback: false,
      clock: systemClock,
      logger: createLogger('silent'),
    })
    return built
  }
  try {
    return await work({ config, db, ctx, masterKey: () => loadMasterKey(config), services })
  } finally {
    await built?.outbound.close()
    await db.destroy()
    await embedded?.stop()
  }
}

const MARKS = { ok: 'ok     ', warning: 'WARNING', fault: 'FAULT  ' } as const

export const doctorCommand = (program: Command): void => {
  program
    .command('doctor')
    .description('examine the installation; exits 1 where there is a fault')
    .option('--json', 'print one JSON object')
    .action(async (options: { json?: boolean }) => {
      const findings = await withPatient(loadConfig(process.env), examine)
      const healthy = findings.every((finding) => finding.level !== 'fault')
      const lines = findings.map(
        ({ check, level, finding }) => `${MARKS[level]}  ${check.padEnd(15)}  ${finding}`,
      )
      print({ json: { ok: healthy, findings }, lines }, options)
      if (!healthy) process.exitCode = 1
    })
}
