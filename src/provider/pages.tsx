import { Page } from '../http/html/page.tsx'

/** Without a hint from the app anyone could have sent the browser here, so the person is asked. */
export const SignOutPage = ({ csrf }: { csrf: string }) => (
  <Page title="Sign out?">
    <p class="lead">
      You will be signed out here, and the apps that you opened from here will ask you to sign in again.
    </p>
    <form method="post" action="/oauth2/logout">
      <input type="hidden" name="csrf" value={csrf} />
      <button type="submit">Sign out</button>
    </form>
    <p class="small">To stay signed in, close this window.</p>
  </Page>
)

export const SignedOutPage = () => (
  <Page title="You are signed out">
    <p class="lead">You can close this window, or go back to the app and sign in again.</p>
    <p class="small">
      On a computer that others use too, sign out at your company’s own sign-in page as well.
    </p>
  </Page>
)
