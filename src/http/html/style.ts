import { sha256 } from '../../crypto/hash.ts'

/** The whole design: tokens for colour, type and space, light and dark, then the few things pages are made of. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ground: #f3f4f8; --surface: #ffffff; --line: #dde0e9; --field: #858da0; --shade: rgb(20 24 43 / .07);
  --ink: #14182b; --quiet: #535b70; --accent: #2f4bd8; --accent-ink: #ffffff; --accent-deep: #2339ad;
  --alarm: #b42318; --alarm-ground: #fdf1ef;
  --s1: .5rem; --s2: 1rem; --s3: 1.5rem; --s4: 2.5rem; --round: .625rem;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0d101a; --surface: #171b29; --line: #2d3346; --field: #7d86a0; --shade: transparent;
    --ink: #eef0f7; --quiet: #a9b1c6; --accent: #93a6ff; --accent-ink: #0e1430; --accent-deep: #b3c0ff;
    --alarm: #ff9d92; --alarm-ground: #2b1a1e;
  }
}
*, *::before, *::after { box-sizing: border-box; }
html { font: 100%/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
body { margin: 0; min-height: 100vh; min-height: 100dvh; display: grid; align-items: center; background: var(--ground); color: var(--ink); }
main { width: min(27.5rem, 100% - 2rem); margin: var(--s3) auto; padding: var(--s4); background: var(--surface);
  border: 1px solid var(--line); border-radius: 1rem; box-shadow: 0 1px 2px var(--shade), 0 1rem 3rem var(--shade); }
@media (max-width: 30rem) { main { padding: var(--s3); } }
header { display: flex; align-items: center; gap: var(--s1); margin-bottom: var(--s3); font-weight: 600; color: var(--quiet); }
header svg { width: 1.5rem; height: 1.5rem; color: var(--accent); flex: none; }
h1 { font-size: 1.625rem; line-height: 1.2; margin: 0 0 .75rem; letter-spacing: -.015em; text-wrap: balance; overflow-wrap: anywhere; }
h2 { font-size: .875rem; margin: var(--s3) 0 .125rem; color: var(--quiet); font-weight: 600; }
p { margin: 0 0 var(--s1); overflow-wrap: anywhere; text-wrap: pretty; }
.lead { font-size: 1.0625rem; }
.quiet { color: var(--quiet); }
.small { margin: var(--s3) 0 0; color: var(--quiet); font-size: .875rem; }
form { display: grid; gap: var(--s3); margin-top: var(--s3); }
label { display: grid; gap: var(--s1); font-weight: 600; }
input { font: inherit; font-weight: 400; min-height: 3rem; padding: 0 .875rem; color: var(--ink); background: var(--surface);
  border: 1px solid var(--field); border-radius: var(--round); width: 100%; }
input[aria-invalid] { border-color: var(--alarm); }
button, a.button { font: inherit; font-weight: 600; min-height: 3rem; padding: .6875rem var(--s2); border: 1px solid transparent;
  border-radius: var(--round); background: var(--accent); color: var(--accent-ink); cursor: pointer; text-align: center;
  text-decoration: none; display: block; width: 100%; }
a.button { margin-top: var(--s3); }
button:hover, a.button:hover { background: var(--accent-deep); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
input:focus-visible { outline-offset: -1px; }
.alarm { border-left: 4px solid var(--alarm); border-radius: .25rem var(--round) var(--round) .25rem; background: var(--alarm-ground);
  padding: .75rem var(--s2); margin: var(--s3) 0 0; }
.reference { margin: var(--s3) 0 0; padding: .75rem var(--s2); border: 1px solid var(--line); border-radius: var(--round);
  background: var(--ground); color: var(--quiet); font-size: .875rem; }
code { display: block; color: var(--ink); font: .9375rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  overflow-wrap: anywhere; user-select: all; }
`

/** For style-src: the page's own style element and nothing else. */
export const STYLE_HASH = `'sha256-${sha256(STYLE).toString('base64')}'`
