import { Page } from '../http/html/page.tsx'

type LoginPageProps = {
  clientName: string
  handle: string
  csrf: string
  email: string
  fault: string | undefined
}

export const LoginPage = ({ clientName, handle, csrf, email, fault }: LoginPageProps) => (
  <Page title={`Sign in to ${clientName}`}>
    <p class="quiet">Type your work email. We take you to your company’s own sign-in page.</p>
    {fault === undefined ? null : (
      <p class="alarm" role="alert" id="fault">
        {fault}
      </p>
    )}
    <form method="post" action="/login">
      <input type="hidden" name="csrf" value={csrf} />
      <input type="hidden" name="request" value={handle} />
      <label>
        Work email
        <input
          type="email"
          name="email"
          value={email}
          required
          autofocus
          autocomplete="username"
          spellcheck={false}
          aria-invalid={fault === undefined ? undefined : 'true'}
          aria-describedby={fault === undefined ? undefined : 'fault'}
        />
      </label>
      <button type="submit">Continue</button>
    </form>
    <p class="small">Your password stays with your company: this page never asks for it.</p>
  </Page>
)

/** For IdPs that are reached by POST: our own form with a button, because this page runs no script. */
export const HandOverPage = ({
  action,
  fields,
}: {
  action: string
  fields: Readonly<Record<string, string>>
}) => (
  <Page title="On to your company’s sign-in">
    <p class="quiet">One press, and you are at your company’s own sign-in page.</p>
    <form method="post" action={action}>
      {Object.entries(fields).map(([name, value]) => (
        <input type="hidden" name={name} value={value} />
      ))}
      <button type="submit">Continue</button>
    </form>
  </Page>
)
