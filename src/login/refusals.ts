import type { RefusalReason } from '../connections/contract.ts'
import type { ErrorText } from '../http/html/error-page.tsx'

const IT_TEAM = 'Your company’s IT team.'
const YOU = 'You can, right now.'
const TELL_IT = 'Send them the reference below; it leads them to the exact cause.'

const setup = (what: string): ErrorText => ({
  title: 'Your company’s sign-in is not set up right',
  what,
  whose: IT_TEAM,
  todo: TELL_IT,
})

const untrusted = (what: string): ErrorText => ({
  title: 'We could not trust that sign-in',
  what,
  whose: IT_TEAM,
  todo: `Start again. If it happens twice, ${TELL_IT.charAt(0).toLowerCase()}${TELL_IT.slice(1)}`,
})

const stale = (what: string): ErrorText => ({ title: 'Let’s start over', what, whose: YOU })

const noAccount = (what: string, todo: string): ErrorText => ({
  title: 'You cannot sign in here',
  what,
  whose: IT_TEAM,
  todo,
})

/** Every reason has its page: one sentence what, whose problem it is, what to do. */
export const REFUSAL_TEXTS = {
  malformed: untrusted('The answer from your company’s identity provider cannot be read.'),
  structure_refused: untrusted(
    'The answer from your company’s identity provider has a shape that we do not accept.',
  ),
  signature_missing: setup('Your company’s identity provider sent an answer without a signature.'),
  signature_invalid: untrusted(
    'The signature on your company’s answer does not hold: it was changed on the way, or its certificate is not the one we know.',
  ),
  algorithm_refused: setup(
    'Your company’s identity provider signs in a way that is no longer considered safe.',
  ),
  certificate_unusable: setup(
    'The certificate of your company’s identity provider has expired or is too weak.',
  ),
  certificate_expired: setup('The certificate of your company’s identity provider has expired.'),
  encrypted_assertion_refused: setup(
    'Your company’s identity provider encrypts its answer, which this connection does not expect.',
  ),
  issuer_mismatch: setup(
    'The answer came from another identity provider than the one set up for your company.',
  ),
  audience_mismatch: setup('The answer was meant for another service than this one.'),
  recipient_mismatch: setup('The answer was addressed to another page than this one.'),
  destination_mismatch: setup('The answer was addressed to another page than this one.'),
  request_mismatch: untrusted('The answer does not belong to the sign-in that was begun here.'),
  nonce_mismatch: untrusted('The answer does not belong to the sign-in that was begun here.'),
  expired: {
    ...untrusted('The answer from your company’s identity provider came too late, or its clock is wrong.'),
  },
  not_yet_valid: setup('The clock of your company’s identity provider is ahead of ours.'),
  confirmation_refused: setup('The answer does not say that it was meant for this browser to bring.'),
  conditions_refused: setup('The answer does not say for how long and for whom it is valid.'),
  authentication_missing: setup('Your company’s identity provider did not say when and how you signed in.'),
  encrypted_id_refused: setup(
    'Your company’s identity provider encrypts your name, which this connection does not expect.',
  ),
  attribute_ambiguous: setup('Your company’s identity provider says two different things about you.'),
  token_hash_mismatch: untrusted('The parts of your company’s answer do not belong together.'),
  token_stale: untrusted(
    'The answer from your company’s identity provider is too old, or its clock is wrong.',
  ),
  lifetime_refused: setup(
    'The answer from your company’s identity provider is valid for longer than we accept.',
  ),
  key_unknown: untrusted(
    'The answer is signed with a key that your company’s identity provider does not publish.',
  ),
  authorized_party_mismatch: setup('The answer was made for another app than this one.'),
  response_issuer_mismatch: untrusted(
    'The answer came from another identity provider than the one you were sent to.',
  ),
  code_refused: stale('Your company’s identity provider no longer knows this sign-in.'),
  authentication_stale: untrusted(
    'We asked for a fresh sign-in and your company’s identity provider gave an old one.',
  ),
  subject_missing: setup('Your company’s identity provider did not say who you are.'),
  subject_malformed: setup('Your company’s identity provider named you in a form that we cannot accept.'),
  token_invalid: untrusted('The answer from your company’s identity provider does not pass our checks.'),
  opinions_differ: untrusted(
    'The answer from your company’s identity provider can be read in more than one way.',
  ),
  opinion_timeout: untrusted('The answer from your company’s identity provider took too long to examine.'),
  decryption_failed: setup('The encrypted answer from your company’s identity provider cannot be opened.'),
  context_mismatch: setup(
    'Your company’s identity provider signed you in in another way than was agreed with it.',
  ),
  idp_refused: noAccount(
    'Your company’s identity provider did not sign you in.',
    'Ask them whether you are assigned to this app. Quote the reference below.',
  ),
  idp_unreachable: {
    title: 'Your company’s sign-in does not answer',
    what: 'We could not reach your company’s identity provider.',
    whose: IT_TEAM,
    todo: 'Try again in a minute. If it stays like this, send them the reference below.',
  },
  idp_misconfigured: setup(
    'Your company’s identity provider does not accept the credentials that were set up for it.',
  ),
  flow_unknown: stale('This sign-in was not begun in this browser.'),
  unsolicited: stale(
    'Sign-in has to begin here: your company’s identity provider sent you without being asked.',
  ),
  replayed: stale('This sign-in has been used already.'),
  connection_disabled: noAccount(
    'Your company’s sign-in is switched off.',
    'Ask them when it will be back. Quote the reference below.',
  ),
  request_expired: stale('This page was open for too long.'),
  user_unknown: noAccount(
    'There is no account for you here yet.',
    'Ask them to give you access to this app. Quote the reference below.',
  ),
  user_inactive: noAccount(
    'Your account here has been deactivated.',
    'If you think that is a mistake, ask them to switch it on again. Quote the reference below.',
  ),
  user_deleted: noAccount(
    'Your account here has been removed.',
    'If you think that is a mistake, ask them to give you access again. Quote the reference below.',
  ),
  email_outside_domains: noAccount(
    'Your address does not belong to a domain of your company that we know.',
    'Ask them to add the domain, or sign in with your work address. Quote the reference below.',
  ),
  link_conflict: noAccount('Another account already stands where yours would go.', TELL_IT),
} as const satisfies Record<RefusalReason, ErrorText>

export const isRefusalReason = (code: string): code is RefusalReason => Object.hasOwn(REFUSAL_TEXTS, code)
