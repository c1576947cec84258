import type { Command } from 'commander'
export const demoCommand = (_program: Command): void => {}
