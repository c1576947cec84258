import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createProgram } from '../../src/cli/program.ts'
import { cliReference } from '../../src/cli/reference.ts'

test('docs/cli.md is what the program says of itself', () => {
  expect(readFileSync('docs/cli.md', 'utf8')).toBe(cliReference(createProgram()))
})
