/** `npm run docs`: writes the references that are generated; a test holds the committed pages to them. */
import { writeFileSync } from 'node:fs'
import { configurationReference } from '../config/reference.ts'
import { createProgram } from './program.ts'
import { cliReference } from './reference.ts'

writeFileSync('docs/configuration.md', configurationReference())
writeFileSync('docs/cli.md', cliReference(createProgram()))
