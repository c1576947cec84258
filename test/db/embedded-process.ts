/**
 * A process of its own that opens the embedded database of a data directory, says so in one line of JSON, and stays
 * until it is told to stop or killed: `node --import tsx embedded-process.ts <data directory>`.
 */
import { createInterface } from 'node:readline'
import { openEmbedded } from '../../src/db/embedded/embedded.ts'

const embedded = await openEmbedded({ dataDir: process.argv[2] as string, settings: ['fsync=off'] })
process.stdout.write(`${JSON.stringify({ owned: embedded.owned, urls: embedded.urls })}\n`)

for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'stop') break
}
await embedded.stop()
process.exit(0)
