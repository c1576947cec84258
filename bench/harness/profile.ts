/** A V8 CPU profile, read for who used the processor themselves. */
import { readFileSync } from 'node:fs'

type CallFrame = { functionName: string; url: string; lineNumber: number }
type Profile = {
  nodes: { id: number; callFrame: CallFrame; children?: number[] }[]
  samples: number[]
  timeDeltas: number[]
}

export type Share = { what: string; milliseconds: number; share: number }

/** Not work: waiting, and the profiler's own session. */
const NOT_COUNTED = new Set(['(idle)', '(root)', 'dispatch'])

const isNotCounted = ({ functionName, url }: CallFrame): boolean =>
  url === '' && NOT_COUNTED.has(functionName)

const placeOf = (url: string): string =>
  url
    .replace(/^file:\/\//, '')
    .replace(/^.*\/node_modules\//, '')
    .replace(/^.*\/bench\/dist\//, '')

const functionOf = ({ functionName, url, lineNumber }: CallFrame): string =>
  `${functionName || '(anonymous)'}${url === '' ? '' : `  ${placeOf(url)}:${lineNumber + 1}`}`

const packageOf = ({ url }: CallFrame): string => {
  const place = placeOf(url)
  const parts = place.startsWith('@') || !url.includes('/node_modules/') ? 2 : 1
  return place.split('/').slice(0, parts).join('/')
}

const isOfNode = ({ url }: CallFrame): boolean => url === '' || url.startsWith('node:')

type Frames = { frames: Map<number, CallFrame>; parents: Map<number, number> }

const framesOf = ({ nodes }: Profile): Frames => ({
  frames: new Map(nodes.map(({ id, callFrame }) => [id, callFrame])),
  parents: new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const))),
})

/** The package of the nearest caller that is not Node itself. */
const askerOf = ({ frames, parents }: Frames, id: number): string => {
  const own = frames.get(id)
  if (own?.functionName.startsWith('(') && own.url === '' && own.functionName !== '(anonymous)') {
    return own.functionName
  }
  for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
    const frame = frames.get(at)
    if (frame && !isOfNode(frame)) return packageOf(frame)
  }
  return '(Node itself: sockets, HTTP, timers)'
}

const shares = (
  profile: Profile,
  found: Frames,
  nameOf: (id: number, frame: CallFrame) => string,
): Share[] => {
  const microseconds = new Map<string, number>()
  let total = 0
  profile.samples.forEach((id, index) => {
    const frame = found.frames.get(id)
    const delta = profile.timeDeltas[index] ?? 0
    if (!frame || isNotCounted(frame)) return
    total += delta
    const name = nameOf(id, frame)
    microseconds.set(name, (microseconds.get(name) ?? 0) + delta)
  })
  return [...microseconds]
    .sort(([, a], [, b]) => b - a)
    .map(([what, spent]) => ({ what, milliseconds: spent / 1000, share: spent / total }))
}

/** Self time by function and by package or folder of ours, of the time the thread was not idle. */
export const readProfile = (path: string): { functions: Share[]; packages: Share[] } => {
  const profile = JSON.parse(readFileSync(path, 'utf8')) as Profile
  const found = framesOf(profile)
  return {
    functions: shares(profile, found, (_, frame) => functionOf(frame)),
    packages: shares(profile, found, (id) => askerOf(found, id)),
  }
}
