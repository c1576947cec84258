import { type Variable, variables } from './schema.ts'

const HEAD = ['variable', 'default', 'what', 'example']

const row = ([name, variable]: [string, Variable]): string[] => [
  variable.secret ? `\`${name}\` or \`${name}_FILE\`` : `\`${name}\``,
  variable.default ?? 'none',
  variable.about,
  `\`${variable.example}\``,
]

/** A Markdown table with its columns in line, as the formatter leaves it: a page it changed would not be current. */
const table = (rows: string[][]): string => {
  const widths = HEAD.map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)))
  const rule = widths.map((width) => '-'.repeat(width))
  const line = (cells: string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  return [HEAD, rule, ...rows].map(line).join('\n')
}

/** docs/configuration.md, whole. Generated, so that the page cannot drift from the schema. */
export const configurationReference = (): string => `# Configuration

Everything comes from the environment; this page is generated from the schema in \`src/config/schema.ts\`
(\`npm run docs\`). Every fault is reported at once, with an example. A \`PORTICO_*\` variable that is not
listed here stops the start, because a misspelt switch would otherwise do nothing in silence. Where two names
stand in the first column, \`…_FILE\` names a file that holds the value.

${table(Object.entries(variables).map(row))}
`
