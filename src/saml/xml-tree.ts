/**
 * From text to a tree, and the few ways to walk it. There is no search and no XPath: what is looked for has one
 * place, and everything is reached from parent to known child.
 */
import { DOMParser } from '@xmldom/xmldom'
import { type KnownPrefix, NAMESPACES } from './names.ts'
import { type ScanFault, type ScanLimits, scanXml } from './xml-scan.ts'

const ELEMENT_NODE = 1
const TEXT_NODE = 3

const complain = (message: string): never => {
  throw new Error(message)
}

// The options' type lacks `normalizeLineEndings`, which would otherwise end lines where only XML 1.1 does.
const parserOptions = {
  errorHandler: { warning: complain, error: complain, fatalError: complain },
  normalizeLineEndings: (source: string): string => source,
}

/** The elements below a node, itself included, in document order. */
export const everyElement = (element: Element): Element[] => {
  const found: Element[] = [element]
  for (let index = 0; index < found.length; index += 1) {
    // Breadth first: callers count and collect, so that the order between branches does not matter to them.
    for (const child of childElements(found[index] as Element)) found.push(child)
  }
  return found
}

export const childElements = (element: Element): Element[] => {
  const found: Element[] = []
  for (let node = element.firstChild; node; node = node.nextSibling) {
    if (node.nodeType === ELEMENT_NODE) found.push(node as Element)
  }
  return found
}

/**
 * The root element of an admitted document.
 * @param refuse makes the error for a fault; what is thrown is the caller's
 */
export const readXml = (source: string, limits: ScanLimits, refuse: (fault: ScanFault) => Error): Element => {
  const text = source.includes('\r') ? source.replace(/\r\n?/g, '\n') : source
  const scanned = scanXml(text, limits)
  if (scanned.fault) throw refuse(scanned.fault)
  const root = parse(text)
  // Gate and parser must have seen the same document.
  if (!root || everyElement(root).length !== scanned.elements) {
    throw refuse({ kind: 'malformed', what: 'a document that is read in two ways', at: 0 })
  }
  return root
}

const parse = (text: string): Element | null => {
  try {
    return new DOMParser(parserOptions).parseFromString(text, 'text/xml').documentElement
  } catch {
    return null
  }
}

export const isNamed = (element: Element, prefix: KnownPrefix, localName: string): boolean =>
  element.localName === localName && element.namespaceURI === NAMESPACES[prefix]

/** Children of one name; for documents whose other content does not matter (metadata). */
export const childrenNamed = (element: Element, prefix: KnownPrefix, localName: string): Element[] =>
  childElements(element).filter((child) => isNamed(child, prefix, localName))

/** An attribute without a namespace, or undefined. */
export const attributeOf = (element: Element, name: string): string | undefined =>
  element.hasAttribute(name) ? (element.getAttribute(name) ?? undefined) : undefined

/** The text of an element that holds nothing but text, or null where it holds anything else. */
export const textOf = (element: Element): string | null => {
  let text = ''
  for (let node = element.firstChild; node; node = node.nextSibling) {
    if (node.nodeType !== TEXT_NODE) return null
    text += node.nodeValue ?? ''
  }
  return text
}

/** Text other than white space between the children of an element that should hold only elements. */
export const hasStrayText = (element: Element): boolean => {
  for (let node = element.firstChild; node; node = node.nextSibling) {
    if (node.nodeType !== ELEMENT_NODE && /[^ \t\n\r]/.test(node.nodeValue ?? '')) return true
  }
  return false
}
