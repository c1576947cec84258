/** Loaded with `--import` before the real `portico serve`: the server that is measured is the one that ships. */
import { answerAsServer } from './harness/probe.ts'

answerAsServer()
