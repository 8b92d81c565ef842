"""The panel of figures: rates, step time, frame age, stage times, and what executes the network."""

from __future__ import annotations

from dataclasses import dataclass

from app import lettering
from app.drawing import INK, MUTED, WARNING, Box, Canvas, Colour
from app.scene import Panel

WIDTH = 196  # design pixels
_ROW, _RULE, _PAD = 17, 10, 12  # design pixels
_STEP_TOLERANCE = 1 / 3  # training jitters the speed by no more than this


@dataclass(frozen=True)
class Row:
    """One line of the panel: a name, a value, and a middle column in the table of stages."""

    name: str
    value: str
    middle: str = ""
    colour: Colour = INK
    strong: bool = False
    rule_above: bool = False


def step_is_off(panel: Panel) -> bool:
    """Whether the real step time is more than a third away from the trained one."""
    if panel.lookback_s is None or not panel.trained_step_s:
        return False
    return abs(panel.lookback_s / panel.trained_step_s - 1) > _STEP_TOLERANCE


def rows_of(panel: Panel) -> list[Row]:
    """What the panel says, from top to bottom."""
    phases = "1 phase" if panel.phases == 1 else f"{panel.phases} phases"
    rows = [
        Row(panel.model or "No model", "", strong=True),
        Row("  ·  ".join(part for part in (_engine(panel), panel.device) if part), "",
            colour=MUTED),
        Row("Camera", _rate(panel.camera_fps), rule_above=True),
        Row("Model", _rate(panel.model_fps)),
        Row("Step / trained", f"{_ms(panel.lookback_s)} / {_ms(panel.trained_step_s)} ms",
            colour=WARNING if step_is_off(panel) else INK),
        Row("Caches", f"{phases}, {'cold' if panel.cold else 'warm'}",
            colour=MUTED if panel.cold else INK),
        Row("Frame age", f"{_ms(panel.age_s)} ms"),
        Row("Dropped", f"{panel.dropped}"),
    ]
    if panel.stages:
        rows.append(Row("Stage, ms", "p95", "p50", colour=MUTED, rule_above=True))
        rows += [Row(name.capitalize(), f"{p95 * 1e3:.1f}", f"{p50 * 1e3:.1f}")
                 for name, (p50, p95) in panel.stages.items()]
    return rows


def panel_height(canvas: Canvas, rows: list[Row]) -> int:
    """Pixels that `rows` need."""
    rules = sum(row.rule_above for row in rows)
    return len(rows) * canvas.px(_ROW) + rules * canvas.px(_RULE) + 2 * canvas.px(_PAD)


def draw_panel(canvas: Canvas, box: Box, rows: list[Row]) -> None:
    """Draws `rows` into `box`, whose height is theirs."""
    canvas.glass(box, canvas.px(10))
    inner = box.inset(canvas.px(_PAD))
    y, row_height, column = inner.y, canvas.px(_ROW), canvas.px(42)
    for row in rows:
        if row.rule_above:
            canvas.rule(inner.x, inner.right, y + canvas.px(_RULE) // 2)
            y += canvas.px(_RULE)
        baseline = canvas.baseline(y, row_height, 12)
        room = column - canvas.px(4) if row.middle else inner.width * 2 // 3
        used = canvas.text(row.value, inner.right, baseline, room=room, size=12,
                           colour=row.colour, align="right")
        if row.middle:
            used = column + canvas.text(row.middle, inner.right - column, baseline, room=column,
                                        size=12, colour=row.colour, align="right")
        gap = canvas.px(8) if used else 0
        canvas.text(row.name, inner.x, baseline, room=inner.width - used - gap, size=12,
                    colour=INK if row.strong else MUTED,
                    weight=lettering.SEMIBOLD if row.strong else lettering.REGULAR)
        y += row_height


def _engine(panel: Panel) -> str:
    """The engine, with its precision where that is a reduced one: it decides a little otherwise."""
    return panel.engine if panel.precision == "fp32" else f"{panel.engine} {panel.precision}"


def _rate(value: float | None) -> str:
    return "– fps" if value is None else f"{value:.1f} fps"


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1e3:.0f}"
