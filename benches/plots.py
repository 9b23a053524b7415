"""Bar charts as SVG, made by hand: no library, and they read on light and dark pages."""
from html import escape

COLOURS = {"onnxruntime": "#2563eb", "tract": "#0d9488", "Python with draft": "#d97706", "Python": "#b45309",
           "idle": "#6b7280"}
WIDTH, LEFT, RIGHT, BAR, GAP, TOP = 860, 230, 120, 20, 6, 64


def colour(name):
    return next((value for start, value in COLOURS.items() if name.startswith(start)), "#6b7280")


def bars(title, subtitle, unit, groups, digits=1):
    """`groups`: {heading: [(name, middle, lowest, highest)]}. Bars are the medians, lines the spread of the rounds."""
    scale = max(high for rows in groups.values() for *_, high in rows)
    length = WIDTH - LEFT - RIGHT
    out, y = [], TOP
    for heading, rows in groups.items():
        if heading:
            out.append(f'<text x="16" y="{y + 14}" font-weight="bold">{escape(heading)}</text>')
            y += 24
        for name, middle, low, high in rows:
            end, least, most = (LEFT + value / scale * length for value in (middle, low, high))
            line = y + BAR / 2
            out += [
                f'<text x="{LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(name)}</text>',
                f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR}" rx="2" fill="{colour(name)}"/>',
                f'<path d="M{least:.1f} {line}H{most:.1f}M{least:.1f} {line - 4}v8M{most:.1f} {line - 4}v8"'
                ' stroke="#111827" stroke-width="1.5"/>',
                f'<text x="{most + 8:.1f}" y="{y + 15}">{middle:,.{digits}f} {escape(unit)}</text>',
            ]
            y += BAR + GAP
        y += 10
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 6}" width="{WIDTH}" height="{y + 6}"'
            ' font-family="system-ui, sans-serif" font-size="13" fill="#111827">\n'
            f'<rect width="{WIDTH}" height="{y + 6}" fill="#ffffff"/>\n'
            f'<text x="16" y="26" font-size="17" font-weight="bold">{escape(title)}</text>\n'
            f'<text x="16" y="46" fill="#4b5563" font-size="12">{escape(subtitle)}</text>\n')
    return head + "\n".join(out) + "\n</svg>\n"


def figure(name, values):
    from statistics import median

    return name, median(values), min(values), max(values)


def all_plots(data, facts):
    where = f"{facts['machine']}; {facts['date'][:10]}; bars: medians of the rounds, lines: lowest to highest"
    rates = {name: [one["rate"] for one in results] for name, results in data["throughput"].items()}
    groups = {}
    for name, values in rates.items():
        size = int(name.rpartition(", ")[2])
        heading = "1 worker or process" if size == 1 else f"{size} workers or processes"
        groups.setdefault(heading, []).append(figure(name.rpartition(", ")[0], values))
    yield "misses.svg", bars("Misses a second: 800x600 JPEG of 99 KB, mobilenetv2", where, "/s", groups)
    groups = {}
    for name, results in data["photos"].items():
        contender, photo = name.split(": ")
        groups.setdefault(photo, []).append(figure(contender, [one["miss_p50"] for one in results]))
    yield "latency.svg", bars("How long one miss takes (p50, one client)", where, "ms", groups)
    names = ("idle, no module", "idle, module", "onnxruntime, 2", "tract, 2", "Python with draft, 2")
    groups = {f"PING {share}": [figure(name, [one[f"ping_{share}"] for one in data["pings"][name]]) for name in names]
              for share in ("p50", "p99")}
    yield "ping.svg", bars("PING while two workers or processes compute misses", where, "ms", groups, 2)
