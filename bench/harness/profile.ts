/** A V8 CPU profile, read for who used the processor themselves. */
import { readFileSync } from 'node:fs'

type CallFrame = { functionName: string; url: string; lineNumber: number }
type Profile = {
  nodes: { id: number; callFrame: CallFrame }[]
  samples: number[]
  timeDeltas: number[]
}

export type Share = { what: string; milliseconds: number; share: number }

const AT_REST = new Set(['(idle)', '(root)'])

const placeOf = (url: string): string =>
  url
    .replace(/^file:\/\//, '')
    .replace(/^.*\/node_modules\//, '')
    .replace(/^.*\/bench\/dist\//, '')

const functionOf = ({ functionName, url, lineNumber }: CallFrame): string =>
  `${functionName || '(anonymous)'}${url === '' ? '' : `  ${placeOf(url)}:${lineNumber + 1}`}`

const packageOf = ({ functionName, url }: CallFrame): string => {
  if (url === '') return functionName.startsWith('(') ? functionName : '(built in)'
  if (url.startsWith('node:')) return url.split('/').slice(0, 2).join('/')
  const place = placeOf(url)
  if (!url.includes('/node_modules/')) return place.split('/').slice(0, 2).join('/')
  return place
    .split('/')
    .slice(0, place.startsWith('@') ? 2 : 1)
    .join('/')
}

const shares = (profile: Profile, nameOf: (frame: CallFrame) => string): Share[] => {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]))
  const microseconds = new Map<string, number>()
  let total = 0
  profile.samples.forEach((id, index) => {
    const frame = frames.get(id)
    const delta = profile.timeDeltas[index] ?? 0
    if (!frame || AT_REST.has(frame.functionName)) return
    total += delta
    microseconds.set(nameOf(frame), (microseconds.get(nameOf(frame)) ?? 0) + delta)
  })
  return [...microseconds]
    .sort(([, a], [, b]) => b - a)
    .map(([what, spent]) => ({ what, milliseconds: spent / 1000, share: spent / total }))
}

/** Self time by function and by package or folder of ours, of the time the thread was not idle. */
export const readProfile = (path: string): { functions: Share[]; packages: Share[] } => {
  const profile = JSON.parse(readFileSync(path, 'utf8')) as Profile
  return { functions: shares(profile, functionOf), packages: shares(profile, packageOf) }
}
