import ipaddr from 'ipaddr.js'

/**
 * Public by its range, and not for us: Azure's WireServer hands out machine credentials to whoever asks from
 * inside. The metadata addresses of the other clouds lie in link-local, carrier-grade NAT and unique-local space.
 */
const METADATA = new Set(['168.63.129.16'])

/** Global unicast (RFC 4291 section 2.4): all that is assigned, and none of the deprecated `::a.b.c.d`. */
const GLOBAL_UNICAST_V6: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('2000::'), 3]

/** What a URL's hostname says if it is an address, without brackets; null: it is a name. */
export const literalAddress = (hostname: string): string | null => {
  const bare = hostname.startsWith('[') && hostname.endsWith(']') ? hostname.slice(1, -1) : hostname
  return ipaddr.isValid(bare) ? bare : null
}

/**
 * `public`, or the name of the range that an address lies in. Everything that is not plainly public unicast has a
 * name here, so a range that nobody thought of is refused too. An IPv4 address inside an IPv6 one (v4-mapped,
 * NAT64, 6to4, Teredo) is not looked into: no honest server is published that way.
 */
export const rangeOf = (address: string): string => {
  if (!ipaddr.isValid(address)) return 'malformed'
  const parsed = ipaddr.parse(address)
  const range: string = parsed.range()
  if (range !== 'unicast') return range
  if (METADATA.has(parsed.toString())) return 'metadata'
  if (parsed.kind() === 'ipv6' && !parsed.match(GLOBAL_UNICAST_V6)) return 'reserved'
  return 'public'
}
