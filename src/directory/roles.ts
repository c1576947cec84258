/** Roles as they stand in tokens. Grants and group mappings join here; `member` is what every active user is. */
export const rolesOf = (_user: { id: string }): readonly string[] => ['member']
