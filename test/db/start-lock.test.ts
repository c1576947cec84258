import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { markOf } from '../../src/db/embedded/processes.ts'
import { withStartLock } from '../../src/db/embedded/start-lock.ts'

const program = fileURLToPath(new URL('./lock-process.ts', import.meta.url))
const folders: string[] = []
let folder: string
let lock: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'portico-lock-'))
  folders.push(folder)
  lock = join(folder, 'postgres-start.lock')
})

afterAll(() => {
  for (const each of folders) rmSync(each, { recursive: true, force: true })
})

describe('the start lock', () => {
  test('is a private file while it is held, and gone afterwards, whatever happened meanwhile', async () => {
    const failing = withStartLock(folder, async () => {
      expect(statSync(lock).mode & 0o777).toBe(0o600)
      throw new Error('on purpose')
    })
    await expect(failing).rejects.toThrow('on purpose')
    expect(readdirSync(folder)).toEqual([])
  })

  test('lets its holders in one after the other', async () => {
    const seen: string[] = []
    const hold = (name: string) =>
      withStartLock(folder, async () => {
        seen.push(`${name} in`)
        await sleep(10)
        seen.push(`${name} out`)
      })
    await Promise.all([hold('a'), hold('b')])
    expect(seen).toEqual(['a in', 'a out', 'b in', 'b out'])
  })

  test('waits for a holder that lives', async () => {
    writeFileSync(lock, JSON.stringify(markOf(process.ppid)))
    const waiting = withStartLock(folder, async () => 'in')
    expect(await Promise.race([waiting, sleep(200, 'still waiting')])).toBe('still waiting')
    rmSync(lock)
    expect(await waiting).toBe('in')
  })

  test.each([
    ['a dead holder', { pid: 2 ** 22 + 1, started: '1' }],
    ['a dead holder whose number is ours by now, as in a container', { pid: process.pid, started: '1' }],
    ['a dead holder whose number is another’s by now', { pid: process.ppid, started: '1' }],
  ])('is taken from %s', async (_name, holder) => {
    writeFileSync(lock, JSON.stringify(holder))
    expect(await withStartLock(folder, async () => 'in')).toBe('in')
    expect(readdirSync(folder)).toEqual([])
  })

  test.each(['', '{', 'null', '12'])(
    'is taken where its content is %j, which no holder writes',
    async (content) => {
      writeFileSync(lock, content)
      expect(await withStartLock(folder, async () => 'in')).toBe('in')
    },
  )

  test('keeps processes apart that all find a dead holder’s lock first', async () => {
    const counter = join(folder, 'counter')
    writeFileSync(counter, '0')
    writeFileSync(lock, JSON.stringify({ pid: process.pid, started: '1' }))
    const children = Array.from({ length: 3 }, () =>
      spawn(process.execPath, ['--import', 'tsx', program, folder, '8'], {
        stdio: ['ignore', 'ignore', 'inherit'],
      }),
    )
    const codes = await Promise.all(children.map((child) => once(child, 'exit').then(([code]) => code)))
    expect(codes).toEqual([0, 0, 0])
    expect(readFileSync(counter, 'utf8')).toBe('24')
  })
})
