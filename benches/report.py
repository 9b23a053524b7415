"""Rows of a table, and the same with all that was measured as JSON."""
from statistics import median, quantiles


class Report:
    HEAD = ("what", "contender", "reference", "ratio", "at least", "aim", "met")

    def __init__(self):
        self.rows = []
        self.data = {}

    def title(self, text):
        self.rows.append({"title": text})

    def note(self, text):
        self.rows.append({"note": text})

    def add(self, what, contender, reference="", ratio="", least="", aim="", met="", measured=None):
        cells = (what, contender, reference, ratio, least, aim, met)
        self.rows.append(dict(zip(self.HEAD, map(str, cells))) | ({"measured": measured} if measured else {}))

    def ratio(self, what, unit, contenders, references, least=None, aim=None, digits=3, more=True):
        """A row of one number a round for each side; `more`: whether more is better."""
        ratios = [one / other for one, other in zip(contenders, references)]
        met = verdict(median(ratios), least, aim, more)
        sign = "≥" if more else "≤"
        targets = ["" if target is None else f"{sign} {target:g}x" for target in (least, aim)]
        self.add(what, shown(median(contenders), unit, digits), shown(median(references), unit, digits),
                 f"{median(ratios):.2f}x [{min(ratios):.2f}–{max(ratios):.2f}]", *targets, met,
                 {"contender": contenders, "reference": references})

    def lines(self):
        table = [self.HEAD] + [tuple(row[name] for name in self.HEAD) for row in self.rows if "what" in row]
        widths = [max(len(line[column]) for line in table) for column in range(len(self.HEAD))]
        yield "  ".join(cell.ljust(width) for cell, width in zip(self.HEAD, widths)).rstrip()
        yield "  ".join("-" * width for width in widths)
        for row in self.rows:
            if "title" in row:
                yield f"\n{row['title']}"
            elif "note" in row:
                yield row["note"]
            else:
                yield "  ".join(row[name].ljust(width) for name, width in zip(self.HEAD, widths)).rstrip()


def verdict(value, least, aim, more=True):
    if least is None:
        return ""
    reached = [target is not None and (value >= target if more else value <= target) for target in (aim, least)]
    return "aim" if reached[0] else "yes" if reached[1] else "NO"


def shown(value, unit, digits=3):
    return f"{value:,.{digits}f} {unit}"


def spread(values, unit, digits=1):
    return f"{median(values):,.{digits}f} {unit} [{min(values):,.{digits}f}–{max(values):,.{digits}f}]"


def percentile(values, share):
    if len(values) == 1:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[share - 1]


def turns(rounds, measures):
    """Takes every measure once a round, now in this order, now in the other: {name: [value a round]}."""
    taken = {name: [] for name in measures}
    for number in range(rounds):
        order = list(measures) if number % 2 == 0 else list(reversed(measures))
        for name in order:
            taken[name].append(measures[name]())
    return taken


def expect(holds, what):
    if not holds:
        raise RuntimeError(f"not so: {what}")
