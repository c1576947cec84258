import { Page } from '../http/html/page.tsx'

/** Without a hint from the app anyone could have sent the browser here, so the person is asked. */
export const SignOutPage = ({ csrf }: { csrf: string }) => (
  <Page title="Sign out?">
    <p>You will be signed out here and in every app that you opened from here.</p>
    <form method="post" action="/oauth2/logout">
      <input type="hidden" name="csrf" value={csrf} />
      <button type="submit">Sign out</button>
    </form>
  </Page>
)

export const SignedOutPage = () => (
  <Page title="You are signed out">
    <p>You can close this window, or go back to the app and sign in again.</p>
  </Page>
)
