/**
 * A process of its own that counts in a file under the start lock: `node --import tsx lock-process.ts <folder> <rounds>`.
 * Two that held the lock at once would lose counts.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { withStartLock } from '../../src/db/embedded/start-lock.ts'

const [folder, rounds] = process.argv.slice(2) as [string, string]
const counter = join(folder, 'counter')

for (let round = 0; round < Number(rounds); round++) {
  await withStartLock(folder, async () => {
    const count = Number(readFileSync(counter, 'utf8'))
    await sleep(2)
    writeFileSync(counter, String(count + 1))
  })
}
