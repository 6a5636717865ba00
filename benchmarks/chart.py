"""Results in, one SVG for a README out. Owns how a measurement is drawn; decides nothing about what is measured.

The picture is shown through `<img>`: it is one file, without scripts, and the same bars give the same bytes.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10

WIDTH = 800.0
EDGE = 24.0
"""Between the card's border and whatever is in it."""
GAP = 10.0
"""Between a label, its bar, the bar's value and its note."""
ROW = 22.0
BAR = 13.0
CAP = 7.0
"""Height of the strokes that end a whisker."""
HEADING = 52.0
"""From a panel's top to its first row: the title, and the unit below it."""
BETWEEN_PANELS = 24.0
LINE = 17.0
LEAST_PLOT = 60.0
LEAST_BAR = 2.0
LEAST_WHISKER = 2.0
"""A narrower one would be a blot that hides a short bar. The legend says that it is left out."""

TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 15.0, 13.0, 12.0
"""As in STYLE."""
OURS, PEERS = "nitro", "peers"
WHISKER = f"lowest to highest round, where over {LEAST_WHISKER:.0f} px wide · every scale is linear from 0"

# A viewer may lack every font but the widest, so these are DejaVu Sans's widths, in em, rounded up.
NARROW, USUAL, CAPITAL, WIDE = 0.41, 0.65, 0.78, 1.0
NARROW_CHARACTERS = frozenset(" fijlrtI.,:;'|!()[]/-·")
WIDE_CHARACTERS = frozenset("mwMW%@")
BOLD = 1.1

UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 allows nowhere, not even escaped (section 2.2, Char)."""

# The media query follows the system, which needn't agree with the theme chosen on GitHub. Hence the card: on a page
# of the other theme the chart is still legible.
STYLE = """
text { fill: #1f2328; font: 13px -apple-system, BlinkMacSystemFont, "Segoe UI", "Noto Sans", Helvetica, Arial,
  sans-serif; font-variant-numeric: tabular-nums; }
.card { fill: #ffffff; stroke: #d1d9e0; }
.title { font-size: 15px; font-weight: 600; }
.label { text-anchor: end; }
.ours { font-weight: 600; }
.small { fill: #59636e; font-size: 12px; font-weight: 400; }
.bar { fill: #9aa4af; }
.bar.ours { fill: #f2701d; }
.axis { stroke: #818b98; }
.whisker { fill: none; stroke: #1f2328; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .card { fill: #0d1117; stroke: #3d444d; }
  .small { fill: #9198a1; }
  .bar { fill: #626b76; }
  .bar.ours { fill: #e8661a; }
  .axis { stroke: #7d8590; }
  .whisker { stroke: #f0f6fc; }
}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One measurement: the median of its rounds, and the least and the greatest of them, in the panel's unit."""

    label: str
    value: float
    low: float
    high: float
    is_ours: bool
    note: str = ""
    """Written behind the value, such as `19 % delivered in time`."""

    def __post_init__(self) -> None:
        if not (0 <= self.low <= self.value <= self.high and isfinite(self.high)):
            raise ValueError(
                f"{self.label!r}: value {self.value} with low {self.low} and high {self.high} can't be drawn; "
                "give finite numbers with 0 <= low <= value <= high"
            )


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars of one unit on one linear scale from 0, drawn in the order given."""

    title: str
    unit: str
    bars: Sequence[Bar]
    less_is_better: bool

    def __post_init__(self) -> None:
        if not self.bars:
            raise ValueError(f"Panel {self.title!r} has no bars; leave it out")

    @property
    def subtitle(self) -> str:
        return f"{self.unit} · {'less' if self.less_is_better else 'more'} is better"


def draw(panels: Sequence[Panel], caption: str) -> str:
    """Draw the panels below each other, with a legend and the caption at the foot, as an SVG document 800 px wide.

    A value is written with three significant digits, or two below 10; a bar of more than 0 is at least 2 px long.
    Raises ValueError where a text is too long for the width, and where there is nothing to draw.
    """
    if not panels:
        raise ValueError("There are no panels to draw; give at least one")
    plot_left = EDGE + ceil(max(_label_width(bar) for panel in panels for bar in panel.bars)) + GAP
    body: list[str] = []
    top = EDGE
    for panel in panels:
        body += _panel(panel, plot_left, top)
        top += HEADING + ROW * len(panel.bars) + BETWEEN_PANELS
    body += _legend(top)
    for line in _lines(caption):
        top += LINE
        body.append(_text(line, EDGE, top + LINE, "small"))
    height = top + LINE + EDGE
    return "\n".join([*_head(panels, caption, height), *body, "</svg>", ""])


def _head(panels: Sequence[Panel], caption: str, height: float) -> Iterator[str]:
    size = {"height": _number(height), "viewBox": f"0 0 {_number(WIDTH)} {_number(height)}", "width": _number(WIDTH)}
    names = {"aria-labelledby": "chart-title chart-desc", "role": "img", "xmlns": "http://www.w3.org/2000/svg"}
    yield f"<svg{_attributes({**size, **names})}>"
    yield _element("title", {"id": "chart-title"}, "Benchmark: " + "; ".join(panel.title for panel in panels))
    yield _element("desc", {"id": "chart-desc"}, "\n".join([*map(_in_words, panels), caption]))
    yield f"<style>{STYLE}</style>"
    card = {"class": "card", "rx": "6", "x": "0.5", "y": "0.5"}
    yield _element("rect", {**card, "height": _number(height - 1), "width": _number(WIDTH - 1)})


def _in_words(panel: Panel) -> str:
    bars = (
        f"{bar.label} {figure(bar.value)} ({figure(bar.low)} to {figure(bar.high)}{bar.note and ', '}{bar.note})"
        for bar in panel.bars
    )
    return f"{panel.title}, {panel.subtitle}: {'; '.join(bars)}."


def _panel(panel: Panel, plot_left: float, top: float) -> Iterator[str]:
    for text, width in (
        (panel.title, _width(panel.title, TITLE_SIZE) * BOLD),
        (panel.subtitle, _width(panel.subtitle, SMALL_SIZE)),
    ):
        if width > WIDTH - 2 * EDGE:
            raise ValueError(f"{text!r} is wider than the chart; shorten it")
    scale = _pixels_a_unit(panel, plot_left)
    first_row = top + HEADING
    yield _text(panel.title, EDGE, top + TITLE_SIZE, "title")
    yield _text(panel.subtitle, EDGE, top + TITLE_SIZE + LINE + 2, "small")
    for row, bar in enumerate(panel.bars):
        yield from _bar(bar, plot_left, first_row + ROW * row, scale)
    bottom = first_row + ROW * len(panel.bars)
    yield _path("axis", f"M{_number(plot_left - 0.5)} {_number(first_row)}V{_number(bottom)}")


def _pixels_a_unit(panel: Panel, plot_left: float) -> float:
    """As large as it can be while every bar's whisker, value and note end within the card."""
    scales = []
    for bar in panel.bars:
        room = WIDTH - EDGE - plot_left - _tail_width(bar)
        if room < LEAST_PLOT:
            raise ValueError(
                f"{bar.label!r} in {panel.title!r} leaves {room:.0f} px for its bar, of {LEAST_PLOT:.0f} that it "
                f"needs; shorten its note {bar.note!r} or the chart's longest label"
            )
        if bar.high:
            scales.append(room / bar.high)
    return min(scales, default=0.0)


def _bar(bar: Bar, left: float, top: float, scale: float) -> Iterator[str]:
    middle = top + (ROW - 1) / 2  # on a half pixel, so that the bar's edges and the whisker are sharp
    baseline = middle + TEXT_SIZE * 0.35
    length = max(bar.value * scale, LEAST_BAR) if bar.value else 0.0
    low, high = left + bar.low * scale, left + bar.high * scale
    ours = " ours" if bar.is_ours else ""
    yield _text(bar.label, left - GAP, baseline, "label" + ours)
    yield _rectangle("bar" + ours, left, middle - BAR / 2, length)
    if high - low >= LEAST_WHISKER:
        yield _whisker(low, high, middle)
    # The note follows its value within one text, so that no font's widths can lay one over the other.
    note = _element("tspan", {"class": "small", "dx": _number(GAP)}, bar.note) if bar.note else ""
    at = {"class": "value" + ours, "x": _number(max(left + length, high) + GAP), "y": _number(baseline)}
    yield f"<text{_attributes(at)}>{_escaped(figure(bar.value))}{note}</text>"


def _legend(top: float) -> Iterator[str]:
    middle = top + BAR / 2
    left = EDGE
    for text, kind in ((OURS, "bar ours"), (PEERS, "bar")):
        yield _rectangle(kind, left, top, BAR)
        yield _text(text, left + BAR + 6, middle + SMALL_SIZE * 0.35, "small")
        left += BAR + 6 + _width(text, SMALL_SIZE) + 2 * GAP
    yield _whisker(left, left + 2 * BAR, middle)
    yield _text(WHISKER, left + 2 * BAR + 6, middle + SMALL_SIZE * 0.35, "small")


def _whisker(low: float, high: float, middle: float) -> str:
    top, bottom = _number(middle - CAP / 2), _number(middle + CAP / 2)
    ends = "".join(f"M{_number(x)} {top}V{bottom}" for x in (low, high))
    return _path("whisker", f"M{_number(low)} {_number(middle)}H{_number(high)}{ends}")


def _lines(text: str) -> Iterator[str]:
    """The text's words in lines that fit between the edges."""
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if line and _width(longer, SMALL_SIZE) > WIDTH - 2 * EDGE:
            yield line
            longer = word
        line = longer
    if line:
        yield line


def figure(value: float) -> str:
    """A measured value for people: `592,000`, `12.4`, `4.3`."""
    if not value:
        return "0"
    digits = 2 if value < 10 else 3
    rounded = float(f"{value:.{digits - 1}e}")
    return f"{rounded:,.{max(digits - 1 - floor(log10(rounded)), 0)}f}"


def _width(text: str, size: float) -> float:
    return size * sum(
        NARROW if c in NARROW_CHARACTERS else WIDE if c in WIDE_CHARACTERS else CAPITAL if c.isupper() else USUAL
        for c in text
    )


def _label_width(bar: Bar) -> float:
    return _width(bar.label, TEXT_SIZE) * (BOLD if bar.is_ours else 1)


def _tail_width(bar: Bar) -> float:
    value = _width(figure(bar.value), TEXT_SIZE) * (BOLD if bar.is_ours else 1)
    return GAP + value + (GAP + _width(bar.note, SMALL_SIZE) if bar.note else 0)


def _text(text: str, x: float, baseline: float, kind: str) -> str:
    return _element("text", {"class": kind, "x": _number(x), "y": _number(baseline)}, text)


def _rectangle(kind: str, x: float, y: float, width: float) -> str:
    at = {"height": _number(BAR), "width": _number(width), "x": _number(x), "y": _number(y)}
    return _element("rect", {"class": kind, **at})


def _path(kind: str, path: str) -> str:
    return _element("path", {"class": kind, "d": path})


def _element(name: str, attributes: Mapping[str, str], text: str = "") -> str:
    start = f"<{name}{_attributes(attributes)}"
    return f"{start}>{_escaped(text)}</{name}>" if text else f"{start}/>"


def _attributes(attributes: Mapping[str, str]) -> str:
    return "".join(f' {name}="{_escaped(attributes[name])}"' for name in sorted(attributes))


def _escaped(text: str) -> str:
    return escape(UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text))


def _number(pixels: float) -> str:
    return f"{round(pixels, 1):g}"
