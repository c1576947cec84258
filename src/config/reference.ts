import { type Variable, variables } from './schema.ts'

const row = ([name, variable]: [string, Variable]): string => {
  const names = variable.secret ? `\`${name}\` or \`${name}_FILE\`` : `\`${name}\``
  return `| ${names} | ${variable.default ?? 'none'} | ${variable.about} | \`${variable.example}\` |`
}

/** docs/configuration.md, whole. Generated, so that the page cannot drift from the schema. */
export const configurationReference = (): string => `# Configuration

Everything comes from the environment; this page is generated from the schema in \`src/config/schema.ts\`
(\`npm run docs\`). Every fault is reported at once, with an example. A \`PORTICO_*\` variable that is not
listed here stops the start, because a misspelt switch would otherwise do nothing in silence. Where two names
stand in the first column, \`…_FILE\` names a file that holds the value.

| variable | default | what | example |
|---|---|---|---|
${(Object.entries(variables) as [string, Variable][]).map(row).join('\n')}
`
