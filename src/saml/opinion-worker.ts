/** Runs in a worker thread of opinion-pool.ts: one question in, one opinion out. Says `ready` once it has loaded. */
import { parentPort } from 'node:worker_threads'
import { askNodeSaml, type OpinionRequest } from './second-opinion.ts'

parentPort?.on('message', async (request: OpinionRequest) => {
  parentPort?.postMessage(await askNodeSaml(request))
})
parentPort?.postMessage('ready')
