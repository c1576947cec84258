/** The process that makes the load, over HTTP. */
import type { Driver } from './drivers/driver.ts'
import { oidcProviderCode, oidcProviderRefresh } from './drivers/oidc-provider.ts'
import { porticoCode, porticoLogin, porticoRefresh } from './drivers/portico.ts'
import { runClosedLoop } from './harness/closed-loop.ts'
import { answerParent } from './harness/messages.ts'
import { takeSample } from './harness/probe.ts'

const drivers = { porticoLogin, porticoCode, porticoRefresh, oidcProviderCode, oidcProviderRefresh }

export type DriverName = keyof typeof drivers

let driver: Driver | undefined

answerParent({
  sample: takeSample,
  prepare: ({ name, setup }: { name: DriverName; setup: never }) => {
    driver = drivers[name](setup)
    return driver.prepare()
  },
  drive: (window: { seconds: number; concurrency: number }) => {
    if (!driver) throw new Error('nothing is prepared')
    return runClosedLoop(driver.operation, window)
  },
})
