import { type Command, Option } from 'commander'
import type { ConnectionChange } from '../connections/connection.ts'
import { AppError } from '../core/errors.ts'
import { fromId, toId } from '../core/ids.ts'
import type { LinkRules } from '../directory/linking.ts'
import { type CommandContext, type Output, orgOf, readSource, table, withInstallation } from './command.ts'

type SettingOptions = {
  issuer?: string
  clientId?: string
  clientSecretFile?: string
  linkKey?: LinkRules['linkKey']
  linkByEmail?: boolean
  justInTime?: LinkRules['justInTime']
  admitGuests?: boolean
  set?: string[]
}

const isUrl = (source: string): boolean => /^https?:\/\//.test(source)

/** Metadata from a file, stdin or, through the guarded outbound client, a URL. */
const fetchMetadata = async (services: CommandContext['services'], source: string): Promise<string> => {
  if (!isUrl(source)) return readSource(source)
  const response = await services.outbound.fetch(source, {
    headers: { accept: 'application/samlmetadata+xml, application/xml' },
  })
  if (!response.ok)
    throw new AppError('upstream', 'metadata_unreachable', `The metadata URL answered ${response.status}.`)
  return response.text()
}

/** `requestBinding=post`, `allowCbc=true`, `attributes={"email":["mail"]}`: the type's own schema judges the rest. */
const parseSetting = (setting: string): [string, unknown] => {
  const [, name, text] = /^([A-Za-z]+)=([\s\S]*)$/.exec(setting) ?? []
  if (name === undefined || text === undefined) {
    throw new AppError(
      'invalid',
      'setting_malformed',
      `“${setting.slice(0, 100)}” is not a setting. Example: --set requestBinding=post`,
    )
  }
  try {
    return [name, JSON.parse(text)]
  } catch {
    return [name, text]
  }
}

const settingsOf = async (options: SettingOptions): Promise<ConnectionChange> => {
  const config = {
    ...Object.fromEntries((options.set ?? []).map(parseSetting)),
    ...(options.issuer !== undefined && { issuer: options.issuer }),
    ...(options.clientId !== undefined && { clientId: options.clientId }),
  }
  const rules: Partial<LinkRules> = {
    ...(options.linkKey && { linkKey: options.linkKey }),
    ...(options.linkByEmail !== undefined && { linkByEmail: options.linkByEmail }),
    ...(options.justInTime && { justInTime: options.justInTime }),
    ...(options.admitGuests !== undefined && { admitGuests: options.admitGuests }),
  }
  const secret =
    options.clientSecretFile === undefined ? undefined : (await readSource(options.clientSecretFile)).trim()
  return { config, rules, ...(secret !== undefined && { secrets: { clientSecret: secret } }) }
}

type Presented = { id: string; type: string; name: string; status: string; urls: Record<string, string> }

const show = (connection: Presented): Output => {
  const json = {
    id: toId('con', connection.id),
    type: connection.type,
    name: connection.name,
    status: connection.status,
    ...connection.urls,
  }
  return { json, lines: table(json) }
}

const withSettings = (command: Command): Command =>
  command
    .option('--metadata <file|url>', 'SAML: the IdP’s metadata document (- reads stdin)')
    .option(
      '--set <setting...>',
      'any setting of its type, as name=value; the value as JSON, or else as text',
    )
    .option('--issuer <url>', 'OIDC: the issuer')
    .option('--client-id <id>', 'OIDC: our client ID at the IdP')
    .option('--client-secret-file <file>', 'OIDC: a file with our secret at the IdP (- reads stdin)')
    .addOption(
      new Option('--link-key <key>', 'what finds the user of a paired directory').choices([
        'externalId',
        'userName',
      ]),
    )
    .option('--link-by-email', 'find the user by email too, in domains assigned to this connection')
    .option('--no-link-by-email')
    .addOption(new Option('--just-in-time <when>', 'create unknown users').choices(['auto', 'on', 'off']))
    .option('--admit-guests', 'let in addresses outside the verified domains')
    .option('--no-admit-guests')
    .option('--json', 'print one JSON object')

/** commander gives a `--no-x` pair a default of true; unset must stay unset. */
const explicit = (command: Command, options: SettingOptions): SettingOptions => {
  const kept: SettingOptions = { ...options }
  if (command.getOptionValueSource('linkByEmail') !== 'cli') delete kept.linkByEmail
  if (command.getOptionValueSource('admitGuests') !== 'cli') delete kept.admitGuests
  return kept
}

export const connectionCommands = (program: Command): void => {
  const connection = program.command('connection').description('identity providers of an organisation')

  withSettings(connection.command('create').description('make a connection; a draft until it is complete'))
    .requiredOption('--org <id>', 'the organisation')
    .requiredOption('--type <type>', 'saml or oidc')
    .requiredOption('--name <name>', 'what admins call it')
    .option('--domain <domain>', 'a domain of the organisation it answers for')
    .action((options, command: Command) =>
      withInstallation(options, async ({ services, ctx }) => {
        const orgCtx = await services.organisations.demand(ctx, fromId('org', options.org))
        const change = await settingsOf(explicit(command, options))
        const xml =
          options.metadata === undefined ? undefined : await fetchMetadata(services, options.metadata)
        let made = await services.connections.create(orgCtx, {
          type: options.type,
          name: options.name,
          ...change,
        })
        if (xml !== undefined) made = await services.connections.importMetadata(orgCtx, made.id, xml)
        if (options.domain !== undefined)
          await services.organisations.assignDomain(orgCtx, options.domain, made.id)
        return show(await enableIfComplete(services, orgCtx, made))
      }),
    )

  withSettings(connection.command('update <id>').description('change settings or import new metadata'))
    .option('--name <name>', 'what admins call it')
    .option('--domain <domain>', 'a domain of the organisation it answers for')
    .action((id: string, options, command: Command) =>
      withInstallation(options, async ({ services, ctx }) => {
        const found = await orgOf(ctx, 'con', id, 'org_of_connection')
        const change = await settingsOf(explicit(command, options))
        const xml =
          options.metadata === undefined ? undefined : await fetchMetadata(services, options.metadata)
        let after = await services.connections.update(found.ctx, found.uuid, {
          ...change,
          name: options.name,
        })
        if (xml !== undefined) after = await services.connections.importMetadata(found.ctx, found.uuid, xml)
        if (options.domain !== undefined)
          await services.organisations.assignDomain(found.ctx, options.domain, found.uuid)
        return show(after)
      }),
    )

  const act = (verb: 'enable' | 'disable', description: string) =>
    connection
      .command(`${verb} <id>`)
      .description(description)
      .option('--json', 'print one JSON object')
      .action((id: string, options) =>
        withInstallation(options, async ({ services, ctx }) => {
          const found = await orgOf(ctx, 'con', id, 'org_of_connection')
          return show(await services.connections[verb](found.ctx, found.uuid))
        }),
      )
  act('enable', 'let people sign in through it')
  act('disable', 'stop sign-ins through it, also those under way')

  connection
    .command('test <id>')
    .description('ask the IdP’s side what can be asked without a user')
    .option('--json', 'print one JSON object')
    .action((id: string, options) =>
      withInstallation(options, async ({ services, ctx }) => {
        const found = await orgOf(ctx, 'con', id, 'org_of_connection')
        const { opened } = await services.connections.open(found.ctx, found.uuid)
        await opened.test()
        return { json: { id, ok: true }, lines: [`${id}  the IdP answers as configured`] }
      }),
    )

  connection
    .command('list')
    .description('list the connections of an organisation')
    .requiredOption('--org <id>', 'the organisation')
    .option('--json', 'print one JSON object')
    .action((options) =>
      withInstallation(options, async ({ services, ctx }) => {
        const orgCtx = await services.organisations.demand(ctx, fromId('org', options.org))
        const all = (await services.connections.list(orgCtx)).map(show)
        return {
          json: { connections: all.map((one) => one.json) },
          lines: all.flatMap((one) => [...one.lines, '']),
        }
      }),
    )

  connection
    .command('delete <id>')
    .description('delete a connection, its identities and its sessions')
    .option('--json', 'print one JSON object')
    .action((id: string, options) =>
      withInstallation(options, async ({ services, ctx }) => {
        const found = await orgOf(ctx, 'con', id, 'org_of_connection')
        await services.connections.remove(found.ctx, found.uuid)
        return { json: { deleted: id }, lines: [`deleted ${id}`] }
      }),
    )
}

/** A draft that is complete the moment it is made need not be enabled by a second command. */
const enableIfComplete = async (
  services: CommandContext['services'],
  ctx: Parameters<CommandContext['services']['connections']['enable']>[0],
  made: Presented,
): Promise<Presented> => {
  try {
    return await services.connections.enable(ctx, made.id)
  } catch (error) {
    if (error instanceof AppError && error.code === 'connection_incomplete') return made
    throw error
  }
}
