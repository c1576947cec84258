import { describe, expect, it } from 'vitest'
import { literalAddress, rangeOf } from '../../src/net/addresses.ts'

describe('the range of an address', () => {
  it.each(['93.184.216.34', '8.8.8.8', '172.32.0.1', '100.128.0.1', '2606:2800:220:1::1', '2a00:1450::8a'])(
    '%s is public',
    (address) => {
      expect(rangeOf(address)).toBe('public')
    },
  )

  it.each([
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['::1', 'loopback'],
    ['10.0.0.1', 'private'],
    ['172.16.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['192.168.1.1', 'private'],
    ['100.64.0.1', 'carrierGradeNat'],
    ['100.100.100.200', 'carrierGradeNat'],
    ['169.254.169.254', 'linkLocal'],
    ['fe80::1', 'linkLocal'],
    ['fe80::1%eth0', 'linkLocal'],
    ['fd00:ec2::254', 'uniqueLocal'],
    ['fc00::1', 'uniqueLocal'],
    ['168.63.129.16', 'metadata'],
    ['::ffff:127.0.0.1', 'ipv4Mapped'],
    ['::ffff:8.8.8.8', 'ipv4Mapped'],
    ['::127.0.0.1', 'ipv4Mapped'],
    ['::7f00:1', 'reserved'],
    ['64:ff9b::7f00:1', 'rfc6052'],
    ['64:ff9b:1::a00:1', 'rfc6052'],
    ['2002:7f00:1::', '6to4'],
    ['2001:0:7f00:1::', 'teredo'],
    ['0.0.0.0', 'unspecified'],
    ['0.1.2.3', 'unspecified'],
    ['::', 'unspecified'],
    ['224.0.0.1', 'multicast'],
    ['ff02::1', 'multicast'],
    ['255.255.255.255', 'broadcast'],
    ['240.0.0.1', 'reserved'],
    ['192.0.2.1', 'reserved'],
    ['198.18.0.1', 'reserved'],
    ['2001:db8::1', 'reserved'],
    ['4000::1', 'reserved'],
    ['not-an-address', 'malformed'],
  ])('%s is not public: %s', (address, range) => {
    expect(rangeOf(address)).toBe(range)
  })

  it('reads an address out of a URL whatever its spelling, and no name as one', () => {
    const hostOf = (url: string) => literalAddress(new URL(url).hostname)
    expect(hostOf('https://2130706433/')).toBe('127.0.0.1')
    expect(hostOf('https://0x7f.1/')).toBe('127.0.0.1')
    expect(hostOf('https://0177.0.0.1/')).toBe('127.0.0.1')
    expect(hostOf('https://127.0.0.1./')).toBe('127.0.0.1')
    expect(hostOf('https://[::ffff:127.0.0.1]/')).toBe('::ffff:7f00:1')
    expect(hostOf('https://idp.example/')).toBeNull()
  })
})
