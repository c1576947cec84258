import type { Context, Middleware } from 'koa'
import type { Logger } from 'pino'
import type { AppError, Kind } from '../../core/errors.ts'
import { asAppError, logError, setErrorStatus } from '../problem.ts'
import { requestContext } from '../request-context.ts'
import { Page, sendPage } from './page.tsx'

/**
 * What a person needs when something went wrong: what, whose move it is, what to do, what to quote. Without `todo`,
 * starting again is all there is to do.
 */
export type ErrorText = { title: string; what: string; whose: string; todo?: string }

export const ErrorPage = ({
  text,
  reference,
  waiting,
}: {
  text: ErrorText
  reference: string
  /** The sign-in that can be taken up again: the app that waits for it, and where it starts. */
  waiting: { clientName: string; again: string } | undefined
}) => (
  <Page title={text.title}>
    <p class="lead">{text.what}</p>
    {waiting === undefined ? null : <p class="quiet">You were signing in to {waiting.clientName}.</p>}
    <h2>Who can fix it</h2>
    <p>{text.whose}</p>
    <h2>What to do</h2>
    {text.todo === undefined ? null : <p>{text.todo}</p>}
    {waiting === undefined ? (
      <p>Go back to the app you came from and start again there.</p>
    ) : (
      <a class="button" href={waiting.again}>
        Start again
      </a>
    )}
    <p class="reference">
      Reference <code>{reference}</code>
    </p>
  </Page>
)

const YOURS = 'You can, right now.'
const OURS = 'The people who run this sign-in page.'

const TEXTS = {
  invalid: {
    title: 'That did not work',
    what: 'The request that brought you here cannot be understood.',
    whose: 'The app you came from.',
  },
  unauthenticated: {
    title: 'You are signed out',
    what: 'There is no live session in this browser.',
    whose: YOURS,
  },
  forbidden: {
    title: 'That did not work',
    what: 'This page was open for too long, or was not ours.',
    whose: YOURS,
  },
  not_found: {
    title: 'Nothing here',
    what: 'There is no page at this address.',
    whose: YOURS,
  },
  conflict: {
    title: 'That was done already',
    what: 'This step has been taken before and cannot be taken twice.',
    whose: YOURS,
  },
  precondition: {
    title: 'That did not work',
    what: 'Something changed in the meantime.',
    whose: YOURS,
  },
  too_large: {
    title: 'That was too much',
    what: 'The message that brought you here is larger than we accept.',
    whose: 'Your company’s IT team.',
    todo: 'Send them the reference below.',
  },
  unsupported: {
    title: 'That did not work',
    what: 'The request that brought you here is of a kind we do not take.',
    whose: 'The app you came from.',
  },
  rate_limited: {
    title: 'Too many tries',
    what: 'There were too many tries in a short time.',
    whose: YOURS,
    todo: 'Wait a minute.',
  },
  upstream: {
    title: 'Your company’s sign-in does not answer',
    what: 'We could not reach your company’s identity provider.',
    whose: 'Your company’s IT team.',
    todo: 'Try again in a minute. If it stays like this, send them the reference below.',
  },
  unavailable: {
    title: 'We are not ready',
    what: 'Our service cannot answer just now.',
    whose: OURS,
    todo: 'Try again in a few seconds.',
  },
  internal: {
    title: 'Something broke',
    what: 'Something went wrong on our side.',
    whose: OURS,
    todo: 'Try again. If it stays like this, send them the reference below.',
  },
} as const satisfies Record<Kind, ErrorText>

/** The edge for pages: whatever is thrown becomes a page in plain words with the request's reference. */
export const pageErrors = ({ logger }: { logger: Logger }): Middleware => {
  return async (koa, next) => {
    try {
      await next()
    } catch (thrown) {
      const error = asAppError(thrown)
      logError(logger, koa, error)
      sendErrorPage(koa, error)
    }
  }
}

const sendErrorPage = (koa: Context, error: AppError): void => {
  setErrorStatus(koa, error)
  const text: ErrorText =
    error.kind === 'invalid' ? { ...TEXTS.invalid, what: error.message } : TEXTS[error.kind]
  sendPage(koa, <ErrorPage text={text} reference={requestContext(koa).requestId} waiting={undefined} />)
}
