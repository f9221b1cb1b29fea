#!/usr/bin/env python3
"""Draws the panels of dashboard.json as one SVG, with data from a running Prometheus.

    deploy/grafana/render.py --prometheus http://127.0.0.1:9090 --minutes 15 > dashboard.svg

Use it where there is no Grafana, for example for a picture in a README. It needs only
Python. If a panel has no data, it prints the title on stderr and exits with code 1.
"""

import argparse
import json
import math
import pathlib
import re
import sys
import time
import urllib.parse
import urllib.request
from typing import NamedTuple
from xml.sax.saxutils import escape

POINTS = 120
# Pixels per unit of gridPos. A row has 24 units.
COLUMN, ROW = 48, 30
MARGIN = {"left": 58, "right": 12, "top": 46, "bottom": 26}
GAP = 12
# Panels are 8 units high.
HEIGHT = 8 * ROW - GAP
# Distinguishable with colour blindness (Okabe and Ito, 2008), and readable on a light and
# on a dark background.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f"]
STYLE = """
  .ground { fill: #ffffff; } .panel { fill: none; stroke: #d0d7de; }
  .grid { stroke: #d0d7de; stroke-width: 0.5; }
  text { font: 11px system-ui, sans-serif; fill: #57606a; }
  .title { font-size: 13px; font-weight: 600; fill: #1f2328; }
  .line { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; } .panel, .grid { stroke: #30363d; }
    text { fill: #9198a1; } .title { fill: #f0f6fc; }
  }
"""


class Axis(NamedTuple):
    """The time range and the width of a panel."""

    start: float
    end: float
    width: float


def main():
    parser = argparse.ArgumentParser(description="Draw the panels of dashboard.json as SVG.")
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="URL of Prometheus")
    parser.add_argument("--minutes", type=float, default=15, help="time range to draw")
    parser.add_argument("--scrape-interval", type=float, default=15, help="seconds, as in prometheus.yml")
    options = parser.parse_args()

    dashboard = json.loads((pathlib.Path(__file__).parent / "dashboard.json").read_text())
    # Logs and traces are not Prometheus's.
    panels = [panel for panel in dashboard["panels"] if panel["datasource"]["type"] == "prometheus"]
    end = time.time()
    span = (end - options.minutes * 60, end)
    drawn, empty = [], []
    for panel in panels:
        lines = series_of(panel, options, span)
        if not lines:
            empty.append(panel["title"])
        place = panel["gridPos"]
        x, y = place["x"] * COLUMN + GAP, place["y"] * ROW + GAP
        axis = Axis(*span, place["w"] * COLUMN - GAP)
        draw = draw_heatmap if panel["type"] == "heatmap" else draw_lines
        drawn.append(f'<g transform="translate({x},{y})">{frame(panel, axis)}{draw(panel, lines, axis)}</g>')
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width, height = 24 * COLUMN + GAP, rows * ROW + GAP
    print(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
        f' aria-label="{escape(dashboard["title"])}">\n<style>{STYLE}</style>\n'
        f'<rect class="ground" width="{width}" height="{height}"/>\n' + "\n".join(drawn) + "\n</svg>"
    )
    if empty:
        sys.exit(f"render.py: no data in: {', '.join(empty)}")


def series_of(panel, options, span):
    """The series of all queries of a panel, each a name and a list of (time, value)."""
    # $__rate_interval as in Grafana: four scrapes, or the distance between two points.
    interval = math.ceil(max(4 * options.scrape_interval, (span[1] - span[0]) / POINTS))
    found = []
    for target in panel["targets"]:
        expression = target["expr"].replace("$__rate_interval", f"{interval}s").replace("$job", ".+")
        query = {"query": expression, "start": span[0], "end": span[1], "step": (span[1] - span[0]) / POINTS}
        url = f"{options.prometheus}/api/v1/query_range?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url) as response:
            result = json.load(response)["data"]["result"]
        for series in result:
            points = [(at, float(value)) for at, value in series["values"]]
            points = [(at, value) for at, value in points if math.isfinite(value)]
            if points:
                found.append((legend(target["legendFormat"], series["metric"]), points))
    return found


def legend(form, labels):
    return re.sub(r"{{\s*(\w+)\s*}}", lambda label: labels.get(label[1], ""), form).strip()


def frame(panel, axis):
    return (
        f'<rect class="panel" width="{axis.width}" height="{HEIGHT}" rx="6"/>'
        f'<text class="title" x="12" y="20">{escape(panel["title"])}</text>'
    )


def draw_lines(panel, lines, axis):
    top = max((value for _, points in lines for _, value in points), default=0)
    top = nice(max(top, 1e-9)) if top > 0 else 1
    unit = panel["fieldConfig"]["defaults"].get("unit", "short")
    parts = [axes(axis, [(part / 4, label(top * part / 4, unit)) for part in range(5)])]
    step = (axis.end - axis.start) / POINTS
    for index, (name, points) in enumerate(lines):
        path, last = [], None
        for at, value in points:
            # A gap in the data interrupts the line.
            start = last is None or at - last > 1.5 * step
            path.append(f"{'M' if start else 'L'}{x_of(at, axis):.1f} {y_of(value / top):.1f}")
            last = at
        colour = COLOURS[index % len(COLOURS)]
        dash = "" if index < len(COLOURS) else ' stroke-dasharray="4 3"'
        parts.append(f'<path class="line" stroke="{colour}"{dash} d="{" ".join(path)}"><title>{escape(name)}</title></path>')
    return "".join(parts) + names([name for name, _ in lines], axis)


def names(all_names, axis):
    """A legend with as many names as fit. The lines have all names as tooltips."""
    parts, x = [], 12
    for index, name in enumerate(all_names):
        width = 20 + 6 * len(name)
        if x + width > axis.width - 70:
            parts.append(f'<text x="{x}" y="37">and {len(all_names) - index} more</text>')
            break
        colour = COLOURS[index % len(COLOURS)]
        parts.append(f'<rect x="{x}" y="30" width="9" height="3" fill="{colour}"/><text x="{x + 13}" y="37">{escape(name)}</text>')
        x += width
    return "".join(parts)


def draw_heatmap(panel, lines, axis):
    """One row for each bucket. More requests make it darker."""
    buckets = sorted(((float(name), dict(points)) for name, points in lines), key=lambda bucket: bucket[0])
    times = sorted({at for _, points in buckets for at in points})
    rows = []
    below = {}
    for bound, points in buckets:
        # Buckets are cumulative.
        rows.append((bound, {at: max(0, points.get(at, 0) - below.get(at, 0)) for at in times}))
        below = points
    while len(rows) > 1 and not any(rows[-1][1].values()):
        rows.pop()
    most = max((count for _, row in rows for count in row.values()), default=0) or 1
    height, width = 1 / max(len(rows), 1), (axis.width - MARGIN["left"] - MARGIN["right"]) / POINTS
    marks = [((index + 0.5) * height, label(bound, "s")) for index, (bound, _) in enumerate(rows)]
    parts = [axes(axis, marks)]
    for index, (bound, row) in enumerate(rows):
        y = y_of((index + 1) * height)
        for at, count in row.items():
            if count:
                # Logarithmic, so that a few requests are visible next to thousands.
                opacity = 0.08 + 0.92 * math.log1p(count) / math.log1p(most)
                parts.append(
                    f'<rect x="{x_of(at, axis):.1f}" y="{y:.1f}" width="{width + 0.3:.1f}"'
                    f' height="{y_of(0) - y_of(height):.1f}" fill="{COLOURS[0]}" fill-opacity="{opacity:.2f}"/>'
                )
    return "".join(parts)


def axes(axis, marks):
    parts = []
    for part, text in marks:
        y = y_of(part)
        parts.append(f'<line class="grid" x1="{MARGIN["left"]}" x2="{axis.width - MARGIN["right"]}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{MARGIN["left"] - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    minutes = (axis.end - axis.start) / 60
    for part in range(4):
        x = x_of(axis.start + (axis.end - axis.start) * part / 3, axis)
        ago = minutes * (3 - part) / 3
        text = "now" if part == 3 else f"−{ago:.0f} min" if minutes >= 3 else f"−{60 * ago:.0f} s"
        anchor = "end" if part == 3 else "start" if part == 0 else "middle"
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 9}" text-anchor="{anchor}">{text}</text>')
    return "".join(parts)


def x_of(at, axis):
    width = axis.width - MARGIN["left"] - MARGIN["right"]
    return MARGIN["left"] + (at - axis.start) / (axis.end - axis.start) * width


def y_of(part):
    height = HEIGHT - MARGIN["top"] - MARGIN["bottom"]
    return MARGIN["top"] + (1 - part) * height


def nice(value):
    """Rounds up to 1, 2, 4, 5 or 8 times a power of ten."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value * (1 - 1e-9))


def label(value, unit):
    if math.isinf(value):
        return "more"
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s" and value and value < 1:
        return f"{value * 1000:.3g} ms" if value >= 0.001 else f"{value * 1e6:.3g} µs"
    suffix = {"s": " s", "reqps": "/s", "cps": "/s"}.get(unit, "")
    return f"{value:.3g}{suffix}"


if __name__ == "__main__":
    main()
