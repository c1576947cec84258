/**
 * Reads the lock file and refuses what nobody agreed to: a licence that is not on the list of .dependency-policy.json,
 * an install script that package.json does not allow, a version range in package.json. Prints one line of report.
 */
import { readFileSync } from 'node:fs'

const read = (path) => JSON.parse(readFileSync(path, 'utf8'))
const manifest = read('package.json')
const lock = read('package-lock.json')
const policy = read('.dependency-policy.json')

const packages = Object.entries(lock.packages)
  .filter(([path]) => path !== '')
  .map(([path, entry]) => ({
    name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
    ...entry,
  }))

/** `(MIT OR CC0-1.0)` is fine if one of them is; `A AND B` only if both are. */
const isAllowed = (expression, agreed) =>
  expression
    .toUpperCase()
    .replace(/[()]/g, '')
    .split(/ OR /)
    .some((option) => option.split(/ AND /).every((licence) => agreed.has(licence.trim())))

const upper = (licences) => licences.map((licence) => licence.toUpperCase())
const shipped = new Set(upper(policy.licences))
// What never reaches a user may also be under licences that ask something only of those who pass it on.
const development = new Set([...shipped, ...upper(policy.developmentLicences)])

const faults = []
for (const { name, version, license, hasInstallScript, dev, devOptional } of packages) {
  const licence = policy.exceptions[name]?.licence ?? license
  if (typeof licence !== 'string' || !isAllowed(licence, dev || devOptional ? development : shipped)) {
    faults.push(`${name}@${version} has the licence ${licence ?? 'unknown'}, which is not on the list.`)
  }
  if (hasInstallScript && manifest.allowScripts?.[name] !== true) {
    faults.push(`${name}@${version} runs an install script that package.json does not allow.`)
  }
}
for (const group of ['dependencies', 'devDependencies', 'optionalDependencies']) {
  for (const [name, range] of Object.entries(manifest[group] ?? {})) {
    if (!/^\d/.test(range)) faults.push(`${name} is not pinned: ${range}`)
  }
}

const runtime = packages.filter(({ dev, optional, devOptional }) => !dev && !optional && !devOptional).length
if (faults.length > 0) {
  process.stderr.write(`${faults.join('\n')}\n`)
  process.exitCode = 1
} else {
  process.stdout.write(
    `dependencies: ${packages.length} in all, ${runtime} at run time, licences and install scripts as agreed\n`,
  )
}
