import type { IncomingMessage } from 'node:http'
import ipaddr from 'ipaddr.js'

/**
 * The address of whoever is on the other side. X-Forwarded-For is walked from the right for as long as the peer is
 * a trusted proxy; from anyone else the header is ignored.
 */
export const createClientAddress = (trustedProxies: readonly string[]) => {
  const ranges = trustedProxies.map((cidr) => ipaddr.parseCIDR(cidr))
  const isTrusted = (address: string): boolean => {
    if (!ipaddr.isValid(address)) return false
    const parsed = ipaddr.process(address)
    return ranges.some((range) => parsed.kind() === range[0].kind() && parsed.match(range))
  }
  return (request: IncomingMessage): string => {
    const forwarded = String(request.headers['x-forwarded-for'] ?? '')
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part.length > 0)
    let address = request.socket.remoteAddress ?? ''
    while (isTrusted(address) && forwarded.length > 0) address = forwarded.pop() as string
    return ipaddr.isValid(address) ? ipaddr.process(address).toString() : 'unknown'
  }
}
