import { readFileSync } from 'node:fs'
import { parse } from 'yaml'

export type Service = {
  image: string
  build?: string
  command?: string[]
  environment: Record<string, string | number>
  secrets?: string[]
  networks: string[] | Record<string, { ipv4_address: string }>
  volumes?: string[]
  ports?: string[]
  read_only?: boolean
  cap_drop?: string[]
  cap_add?: string[]
  security_opt?: string[]
  depends_on?: Record<string, { condition: string }>
} & Record<string, unknown>

export type Compose = {
  services: Record<string, Service>
  networks: Record<string, { internal?: boolean; ipam?: { config: { subnet: string }[] } }>
  volumes: Record<string, unknown>
  secrets: Record<string, { file: string }>
}

export const readCompose = (): Compose => parse(readFileSync('docker-compose.yml', 'utf8'), { merge: true })

export type Instruction = { keyword: string; text: string }

/** The instructions of the Dockerfile in their order, continued lines joined. */
export const readDockerfile = (): Instruction[] =>
  readFileSync('Dockerfile', 'utf8')
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [keyword = '', ...rest] = line.trim().split(/\s+/)
      return { keyword, text: rest.join(' ') }
    })

/** What the instructions of a kind say, in their order. */
export const texts = (instructions: Instruction[], keyword: string): string[] =>
  instructions.filter((instruction) => instruction.keyword === keyword).map(({ text }) => text)
