"""How the page of the nights looks: light and dark, wide and narrow, on screen and on paper."""

from typing import Final

# The colours are told apart by those who see red and green alike; no meaning hangs on colour alone.
STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b2430; --soft: #5a6675; --line: #dde3ea; --page: #ffffff; --card: #f6f8fa;
  --c0: #2b6cb0; --c1: #c2410c; --c2: #a3adba; --c3: #7c3aed; --c4: #0f8a7d; --c5: #b7791f;
  --good: #1f7a4d; --calm: #5a6675; --warn: #a35a00; --bad: #b42318; --missed: #e9edf2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa6b5; --line: #2c3643; --page: #12171e;
  --card: #1a212a; --c0: #63a4e8; --c1: #f08a4b; --c2: #6b7787; --c3: #b197fc; --c4: #3fbfae; --c5: #e0b040;
  --good: #4cc38a; --calm: #9aa6b5; --warn: #f0a83c; --bad: #ff7b72; --missed: #222b36; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 3rem; max-width: 80rem; color: var(--ink); background: var(--page);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .2rem; letter-spacing: -.01em; }
h2 { font-size: 1rem; margin: 0; }
p { margin: 0; }
.soft, figcaption p { color: var(--soft); font-size: .875rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .6rem; margin: 1.25rem 0; }
.tile { border: 1px solid var(--line); border-radius: 8px; padding: .6rem .8rem; background: var(--card);
  min-width: 0; }
.tile b { display: block; font-size: 1.3rem; line-height: 1.3; font-weight: 600; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere; }
.tile span { color: var(--soft); font-size: .8rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1.5rem 2rem;
  margin: 1.5rem 0 2rem; }
.chart, .strip { margin: 0; min-width: 0; break-inside: avoid; }
.plot { position: relative; display: grid; grid-template: 11rem 1.4rem / 3.6rem 1fr; margin-top: 1.1rem; }
.plot svg { width: 100%; height: 100%; overflow: visible; }
.y, .x { position: relative; color: var(--soft); font-size: .75rem; font-variant-numeric: tabular-nums; }
.y span { position: absolute; right: .5rem; transform: translateY(-50%); white-space: nowrap; }
.x { grid-column: 2; }
.area { position: relative; min-width: 0; min-height: 0; }
.cut { position: absolute; top: -1.1rem; transform: translateX(-50%); font-size: .75rem; font-weight: 600; }
.x span { position: absolute; top: .3rem; transform: translateX(-50%); white-space: nowrap; }
.x .last { left: auto !important; right: 0; transform: none; }
.grid { stroke: var(--line); stroke-width: 1; vector-effect: non-scaling-stroke; fill: none; }
.change { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 3 3; vector-effect: non-scaling-stroke;
  fill: none; }
.missed { fill: var(--missed); }
.broken { fill: var(--bad); opacity: .14; }
.tip { fill: transparent; }
.tip:hover { fill: var(--ink); opacity: .07; }
.line { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
.dot { fill: none; stroke-width: 6; stroke-linecap: round; vector-effect: non-scaling-stroke; }
.line.dashed { stroke-width: 1.5; stroke-dasharray: 6 4; }
rect.c0 { fill: var(--c0); } rect.c1 { fill: var(--c1); } rect.c2 { fill: var(--c2); }
rect.c3 { fill: var(--c3); } rect.c4 { fill: var(--c4); } rect.c5 { fill: var(--c5); }
path.c0 { stroke: var(--c0); } path.c1 { stroke: var(--c1); } path.c2 { stroke: var(--c2); }
path.c3 { stroke: var(--c3); } path.c4 { stroke: var(--c4); } path.c5 { stroke: var(--c5); }
i.c0 { background: var(--c0); } i.c1 { background: var(--c1); } i.c2 { background: var(--c2); }
i.c3 { background: var(--c3); } i.c4 { background: var(--c4); } i.c5 { background: var(--c5); }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; list-style: none; margin: .35rem 0 0; padding: 0;
  font-size: .8rem; }
.legend i { display: inline-block; width: .75rem; height: .75rem; border-radius: 2px; margin-right: .4rem;
  vertical-align: -.05rem; }
.legend i.dashed { height: 0; border-radius: 0; vertical-align: .2rem; background: none;
  border-top: 2px dashed var(--c2); }
.cells { display: flex; gap: 2px; list-style: none; margin: .5rem 0 0; padding: 0; }
.cells li { flex: 1; min-width: 0; height: 2rem; border-radius: 3px; display: grid; place-items: center;
  font-size: .8rem; font-weight: 700; color: var(--page); overflow: hidden; }
.good { background: var(--good); } .calm { background: var(--calm); } .warn { background: var(--warn); }
.bad { background: var(--bad); } .cells .gone { background: var(--missed); }
.cells .blank { background: none; }
.strip .legend i { width: 1.2rem; height: 1.2rem; border-radius: 3px; color: var(--page);
  font: 700 .75rem/1.2rem system-ui; text-align: center; vertical-align: middle; }
.strip .legend .gone { background: var(--missed); color: var(--soft); }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; margin-top: .5rem; }
table { border-collapse: collapse; width: 100%; font-size: .84rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .6rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line);
  white-space: nowrap; }
thead th { color: var(--soft); font-weight: 600; background: var(--card); }
td.n, th.n { text-align: right; }
td.words { white-space: normal; min-width: 11rem; }
td small { display: block; margin-top: .2rem; color: var(--soft); font-size: .92em; }
tbody th { font-weight: 600; }
th:first-child { position: sticky; left: 0; background: var(--page); }
thead th:first-child { background: var(--card); }
.mark { display: inline-block; border-radius: 3px; padding: 0 .4rem; color: var(--page); font-weight: 600;
  white-space: nowrap; }
.id { color: var(--soft); font: .78rem ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-weight: 400; }
@media (max-width: 40rem) { body { padding: 1.25rem .9rem 2rem; } .wide { display: none; }
  .tiles { grid-template-columns: 1fr 1fr; } .plot { grid-template: 9.5rem 1.4rem / 3.1rem 1fr; } .cells { gap: 1px; }
  .cells li { font-size: .6rem; } }
@media print { body { max-width: none; padding: 0; font-size: 12px; } .scroll { overflow: visible; border: 0; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; } th, td { white-space: normal; padding: .25rem; } }
"""
