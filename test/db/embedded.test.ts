import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { publishAddress, readAddress } from '../../src/db/embedded/address.ts'
import { withClient } from '../../src/db/embedded/cluster.ts'
import { isAlive, markOf } from '../../src/db/embedded/processes.ts'
import {
  answers,
  cleanUp,
  filesIn,
  keep,
  kept,
  makeDataDir,
  openElsewhere,
  openHere,
  plainAccount,
  postmasterOf,
} from './embedded-rig.ts'

afterAll(cleanUp)

/** The number of a process that has ended. */
const deadPid = async (): Promise<number> => {
  const child = spawn('true', { stdio: 'ignore' })
  await once(child, 'exit')
  return child.pid as number
}

describe('the embedded database', () => {
  const dataDir = makeDataDir()
  // Made once: initdb is the second that each of these would otherwise cost.
  beforeAll(async () => {
    const first = await openHere(dataDir)
    await keep(first.urls, 'first')
    await first.stop()
  })

  test('is UTF-8, listens on loopback by TCP only, and lets nobody in without a password', async () => {
    const embedded = await openHere(dataDir)
    const settings = await withClient(embedded.urls.superuser, async (client) => {
      const { rows } = await client.query(`
        select current_setting('listen_addresses') as addresses, current_setting('unix_socket_directories') as sockets,
          current_setting('server_encoding') as encoding`)
      return rows[0]
    })
    expect(settings).toEqual({ addresses: '127.0.0.1', sockets: '', encoding: 'UTF8' })
    for (const url of Object.values(embedded.urls)) {
      const open = new URL(url)
      open.password = ''
      await expect(withClient(open.href, (client) => client.query('select 1'))).rejects.toThrow(/password/)
      await withClient(url, (client) => client.query('select 1'))
    }
    await embedded.stop()
  })

  test('publishes files that only their owner can read, and withdraws its address when it stops', async () => {
    const embedded = await openHere(dataDir)
    const uid = process.getuid?.()
    expect(filesIn(dataDir)).toEqual(
      ['postgres-address.json', 'postgres-passwords.json', 'postgres.log'].map((name) => ({
        name,
        mode: '600',
        uid,
      })),
    )
    expect(statSync(join(dataDir, 'postgres')).mode & 0o777).toBe(0o700)
    const published = readFileSync(join(dataDir, 'postgres-address.json'), 'utf8')
    expect(published).not.toContain(new URL(embedded.urls.app).password)
    await embedded.stop()
    expect(existsSync(join(dataDir, 'postgres-address.json'))).toBe(false)
    expect(await answers(embedded.urls)).toBe(false)
  })

  test('keeps its rows and its passwords across a restart', async () => {
    const before = await openHere(dataDir)
    await keep(before.urls, 'restart')
    await before.stop()
    const after = await openHere(dataDir)
    expect(after.owned).toBe(true)
    expect(await kept(after.urls)).toContain('restart')
    expect(new URL(after.urls.app).password).toBe(new URL(before.urls.app).password)
    await after.stop()
  })

  test('keeps what was committed when the process that owns it is killed with -9', async () => {
    const killed = await openElsewhere(dataDir)
    expect(killed.owned).toBe(true)
    await keep(killed.urls, 'owner killed')
    await killed.kill()
    const after = await openHere(dataDir)
    expect(after.owned).toBe(true)
    expect(await kept(after.urls)).toContain('owner killed')
    await after.stop()
  })

  test('keeps what was committed when the server itself is killed with -9, and its stale lock is no obstacle', async () => {
    const killed = await openHere(dataDir)
    await keep(killed.urls, 'server killed')
    process.kill(postmasterOf(dataDir), 'SIGKILL')
    const after = await openHere(dataDir)
    expect(after.owned).toBe(true)
    expect(await kept(after.urls)).toContain('server killed')
    // The one that died has nothing to stop; least of all its successor.
    await killed.stop()
    expect(await answers(after.urls)).toBe(true)
    await after.stop()
  })

  test('is shared with a later process, which works with it and does not stop it', async () => {
    const ours = await openHere(dataDir)
    const later = await openElsewhere(dataDir)
    expect(later.owned).toBe(false)
    expect(later.urls).toEqual(ours.urls)
    await keep(later.urls, 'later process')
    await later.stop()
    expect(await kept(ours.urls)).toContain('later process')
    await ours.stop()
    expect(await answers(ours.urls)).toBe(false)
  })

  test('survives a later process that is killed with -9', async () => {
    const ours = await openHere(dataDir)
    const later = await openElsewhere(dataDir)
    await later.kill()
    expect(await answers(ours.urls)).toBe(true)
    await ours.stop()
  })

  test.each([
    ['has died', async () => markOf(await deadPid())],
    ['has died and left its number to another', async () => ({ pid: process.pid, started: '1' })],
  ])('is adopted by the next process where its owner %s and it lives on', async (_name, owner) => {
    const orphaned = await openHere(dataDir)
    const address = readAddress(dataDir)
    if (!address) throw new Error('no address is published')
    publishAddress(dataDir, { ...address, owner: await owner() })
    const adopted = await openHere(dataDir)
    expect(adopted.owned).toBe(true)
    expect(adopted.urls).toEqual(orphaned.urls)
    const later = await openHere(dataDir)
    expect(later.owned).toBe(false)
    await adopted.stop()
    expect(isAlive(address.postmaster.pid)).toBe(false)
    expect(await answers(orphaned.urls)).toBe(false)
  })

  test('starts though its lock file names a process that lives, of the same account, and is not PostgreSQL', async () => {
    const folder = join(dataDir, 'postgres')
    const [program, argv] = plainAccount(dataDir).wrap('sleep', ['60'])
    const unrelated = spawn(program, argv, { stdio: 'ignore' })
    await once(unrelated, 'spawn')
    try {
      writeFileSync(join(folder, 'postmaster.pid'), `${unrelated.pid}\n${folder}\n1700000000\n5432\n\n\n\n`)
      const embedded = await openHere(dataDir)
      expect(await kept(embedded.urls)).toContain('first')
      expect(unrelated.exitCode).toBeNull()
      await embedded.stop()
    } finally {
      unrelated.kill()
    }
  })

  test('starts though its published address names a port and a process that are somebody else’s', async () => {
    publishAddress(dataDir, { port: 9, postmaster: markOf(process.pid), owner: markOf(process.pid) })
    const embedded = await openHere(dataDir)
    expect(embedded.owned).toBe(true)
    expect(await kept(embedded.urls)).toContain('first')
    await embedded.stop()
  })
})

describe('two processes that start at once on an empty data directory', () => {
  test('end up on one server, which belongs to one of them', async () => {
    const dataDir = makeDataDir()
    const both = await Promise.all([openElsewhere(dataDir), openElsewhere(dataDir)])
    expect(both[0].urls).toEqual(both[1].urls)
    expect(both.map(({ owned }) => owned).sort()).toEqual([false, true])
    for (const { urls } of both) await keep(urls, 'both')
    expect(await kept(both[0].urls)).toEqual(['both', 'both'])
    for (const other of both.sort((a, b) => Number(a.owned) - Number(b.owned))) await other.stop()
    expect(await answers(both[0].urls)).toBe(false)
  })
})

describe('as a plain user', () => {
  test('the embedded database starts, keeps its rows through kill -9, and its files are that user’s alone', async () => {
    const account = plainAccount('/')
    const uid = account.owner?.uid ?? process.getuid?.()
    expect(uid).not.toBe(0)
    const dataDir = makeDataDir(account)
    const first = await openElsewhere(dataDir, account)
    expect(first.owned).toBe(true)
    await keep(first.urls, 'plain')
    expect(filesIn(dataDir).map(({ mode, uid: owner }) => ({ mode, owner }))).toEqual(
      Array(3).fill({ mode: '600', owner: uid }),
    )
    await first.kill()
    const second = await openElsewhere(dataDir, account)
    expect(second.owned).toBe(true)
    expect(await kept(second.urls)).toEqual(['plain'])
    await second.stop()
    expect(await answers(second.urls)).toBe(false)
  })
})
