import { binary, boolean, complex, plural, reference, type Schema, string } from './attribute.ts'

const PLACES = ['work', 'home', 'other']

/** RFC 7643 section 4.1. */
export const userSchema: Schema = {
  id: 'urn:ietf:params:scim:schemas:core:2.0:User',
  name: 'User',
  description: 'A person who signs in.',
  attributes: [
    string('userName', 'What the person signs in with; unique in the organisation, compared without case.', {
      required: true,
      uniqueness: 'server',
      maxLength: 512,
    }),
    complex('name', 'The parts of the name.', [
      string('formatted', 'The whole name as it is written.'),
      string('familyName', 'The family name.'),
      string('givenName', 'The given name.'),
      string('middleName', 'The middle names.'),
      string('honorificPrefix', 'Titles before the name.'),
      string('honorificSuffix', 'What follows the name.'),
    ]),
    string('displayName', 'The name to show.'),
    string('nickName', 'What the person is called among colleagues.'),
    reference('profileUrl', 'A page about the person.', ['external']),
    string('title', 'The job title.'),
    string('userType', 'How the person stands to the organisation, such as Employee or Contractor.'),
    string('preferredLanguage', 'The language to speak, as in Accept-Language.'),
    string('locale', 'How to write dates and numbers, such as en-US.'),
    string('timezone', 'The time zone by its IANA name.'),
    boolean(
      'active',
      'Whether the person may sign in. False ends every session and every refresh token at once.',
    ),
    string('password', 'Accepted and thrown away: people sign in at their identity provider.', {
      mutability: 'writeOnly',
      returned: 'never',
      caseExact: true,
    }),
    plural('emails', 'Email addresses.', string('value', 'The address.', { maxLength: 320 }), PLACES),
    plural('phoneNumbers', 'Telephone numbers.', string('value', 'The number.'), [
      'work',
      'home',
      'mobile',
      'fax',
      'pager',
      'other',
    ]),
    plural('ims', 'Instant messaging addresses.', string('value', 'The address.')),
    plural('photos', 'Pictures of the person.', reference('value', 'Where the picture is.', ['external']), [
      'photo',
      'thumbnail',
    ]),
    complex(
      'addresses',
      'Postal addresses.',
      [
        string('formatted', 'The whole address as it is written.'),
        string('streetAddress', 'The street, the house, the floor.'),
        string('locality', 'The town.'),
        string('region', 'The state or region.'),
        string('postalCode', 'The postal code.'),
        string('country', 'The country, as ISO 3166-1 alpha-2.'),
        string('type', 'What this address is for.', { canonicalValues: PLACES }),
        boolean('primary', 'Whether this address is the preferred one; true at most once.'),
      ],
      { multiValued: true },
    ),
    complex(
      'groups',
      'The groups the person is in; changed through the groups.',
      [
        string('value', 'The ID of the group.', { mutability: 'readOnly' }),
        reference('$ref', 'Where the group is.', ['User', 'Group'], { mutability: 'readOnly' }),
        string('display', 'The name of the group.', { mutability: 'readOnly' }),
        string('type', 'Whether the membership is direct.', {
          mutability: 'readOnly',
          canonicalValues: ['direct', 'indirect'],
        }),
      ],
      { multiValued: true, mutability: 'readOnly' },
    ),
    plural('entitlements', 'What the person is entitled to.', string('value', 'The entitlement.')),
    plural('roles', 'Roles as the directory names them.', string('value', 'The role.')),
    plural('x509Certificates', 'Certificates of the person.', binary('value', 'One certificate, DER.')),
  ],
}

/** RFC 7643 section 4.3. */
export const enterpriseUserSchema: Schema = {
  id: 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User',
  name: 'EnterpriseUser',
  description: 'What an employer knows about a user.',
  attributes: [
    string('employeeNumber', 'The number the employer gave.'),
    string('costCenter', 'The cost centre.'),
    string('organization', 'The organisation.'),
    string('division', 'The division.'),
    string('department', 'The department.'),
    complex('manager', 'Who the person reports to.', [
      string('value', 'The ID of the manager.', { caseExact: true }),
      reference('$ref', 'Where the manager is.', ['User']),
      string('displayName', 'The name of the manager.', { mutability: 'readOnly' }),
    ]),
  ],
}
