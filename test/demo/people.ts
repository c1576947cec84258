import type { Person } from '../../src/demo/peers.ts'

export const ada: Person = {
  id: 'emp-0001',
  email: 'ada@acme.test',
  displayName: 'Ada <b>Lovelace</b>',
  givenName: 'Ada',
  familyName: 'Lovelace',
  groups: ['engineering', 'R&D'],
}

export const bob: Person = {
  id: 'emp-0002',
  email: 'bob@acme.test',
  displayName: 'Bob Noyce',
  givenName: 'Bob',
  familyName: 'Noyce',
  groups: [],
}

export const people = [ada, bob]
