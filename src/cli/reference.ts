import type { Command, Option } from 'commander'

const optionRow = (option: Option): string =>
  `| \`${option.flags.replaceAll('|', '\\|')}\` | ${option.description}${option.mandatory ? ' (required)' : ''} |`

const leaves = (command: Command, path: string): [string, Command][] =>
  command.commands.length === 0
    ? [[path, command]]
    : command.commands.flatMap((child) => leaves(child, `${path} ${child.name()}`.trim()))

const section = ([path, command]: [string, Command]): string => {
  const args = command.registeredArguments.map((argument) => ` <${argument.name()}>`).join('')
  const options = command.options.filter((option) => !option.hidden).map(optionRow)
  const table = options.length === 0 ? '' : `\n| option | what |\n|---|---|\n${options.join('\n')}\n`
  return `## ${path}${args}\n\n${command.description()}\n${table}`
}

/** docs/cli.md, whole: every command with its options, from the program itself. */
export const cliReference = (program: Command): string => `# Commands

\`npm run -s portico -- <command>\` in a checkout, \`node dist/src/cli/portico.js <command>\` from a build. Every command
takes \`--json\` where it shows something, and then prints one JSON object on stdout; errors are a sentence on stderr and
a non-zero exit. Commands work against the same database as a running server. This page is generated (\`npm run docs\`).

${leaves(program, '').map(section).join('\n')}`
