import { sha256 } from '../../crypto/hash.ts'

/** The whole design: tokens for colour, type and space, light and dark, then the few things pages are made of. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ground: #f4f5f8; --surface: #ffffff; --line: #d5d9e2; --field: #8b93a5;
  --ink: #14182b; --quiet: #535b70; --accent: #2f4bd8; --accent-ink: #ffffff; --accent-deep: #2339ad;
  --alarm: #a3271c; --alarm-ground: #fdf0ee;
  --s1: .5rem; --s2: 1rem; --s3: 1.5rem; --s4: 2.5rem; --round: .625rem;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0e111b; --surface: #171b29; --line: #2d3346; --field: #7d86a0;
    --ink: #eef0f7; --quiet: #a9b1c6; --accent: #93a6ff; --accent-ink: #0e1430; --accent-deep: #b3c0ff;
    --alarm: #ffaca3; --alarm-ground: #2e1a1c;
  }
}
*, *::before, *::after { box-sizing: border-box; }
html { font: 100%/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
body { margin: 0; min-height: 100vh; display: grid; grid-template-rows: 1fr auto; background: var(--ground); color: var(--ink); }
main { width: min(27rem, 100% - 2rem); margin: var(--s4) auto; align-self: center; background: var(--surface);
  border: 1px solid var(--line); border-radius: var(--round); padding: var(--s4) var(--s3) var(--s3); }
header { display: flex; align-items: center; gap: var(--s1); margin-bottom: var(--s3); font-weight: 600; color: var(--quiet); }
header svg { width: 1.5rem; height: 1.5rem; color: var(--accent); flex: none; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 var(--s1); letter-spacing: -.01em; }
h2 { font-size: .875rem; margin: var(--s3) 0 .25rem; color: var(--quiet); font-weight: 600; }
p { margin: 0 0 var(--s2); overflow-wrap: anywhere; }
.quiet { color: var(--quiet); }
form { display: grid; gap: var(--s2); margin-top: var(--s3); }
label { display: grid; gap: .375rem; font-weight: 600; }
input { font: inherit; font-weight: 400; min-height: 3rem; padding: 0 .875rem; color: var(--ink); background: var(--surface);
  border: 1px solid var(--field); border-radius: var(--round); width: 100%; }
button, a.button { font: inherit; font-weight: 600; min-height: 3rem; padding: .75rem var(--s2); border: 0; border-radius: var(--round);
  background: var(--accent); color: var(--accent-ink); cursor: pointer; text-align: center; text-decoration: none; display: block; width: 100%; }
button:hover, a.button:hover { background: var(--accent-deep); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; }
.alarm { border: 1px solid var(--alarm); border-radius: var(--round); background: var(--alarm-ground); color: var(--alarm);
  padding: .75rem var(--s2); margin: var(--s3) 0 0; }
.reference { margin-top: var(--s3); padding-top: var(--s2); border-top: 1px solid var(--line); color: var(--quiet); font-size: .875rem; }
code { font: .875em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; user-select: all; }
footer { text-align: center; padding: var(--s2); color: var(--quiet); font-size: .875rem; }
`

/** For style-src: the page's own style element and nothing else. */
export const STYLE_HASH = `'sha256-${sha256(STYLE).toString('base64')}'`
