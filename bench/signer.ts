/** The IdP beside a peer that runs as a library: in a process of its own, so that its work is not counted as the peer's. */
import {
  type IdentityProvider,
  openIdentityProvider,
  type ResponseRequest,
} from './harness/identity-provider.ts'
import { answerParent } from './harness/messages.ts'

let respond: ReturnType<typeof openIdentityProvider> | undefined

answerParent({
  open: (idp: IdentityProvider) => {
    respond = openIdentityProvider(idp)
  },
  sign: (request: ResponseRequest) => {
    if (!respond) throw new Error('there is no IdP yet')
    return respond(request)
  },
})
