"""The benchmark's report for people: tables, and what changed since an older one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ANCHORS = {"eager": "(a)", "window": "(b)", "window without shift": "(c)"}
HEADING = (f"{'':44}{'hot, ms':^21}{'at 30 fps, ms':^21}{'CPU':>6}{'stages, ms':^21}"
           f"{'times faster than':^21}{'logits':>9}{'same':>7}{'limit':>6}\n"
           f"{'':44}{'median':>7}{'p90':>7}{'p99':>7}{'median':>7}{'p90':>7}{'p99':>7}{'ms':>6}"
           f"{'pre':>7}{'net':>7}{'smooth':>7}{'(a)':>7}{'(b)':>7}{'(c)':>7}{'off by':>9}"
           f"{'labels':>7}{'x':>6}")
LEGEND = (
    "(a) eager torch step, Pillow resizes the whole frame; (b) a window of 8 frames, computed anew "
    "for each frame, shifted both ways; (c) the same without shift.",
    "logits off by: the largest difference from float32 eager over 64 recurrent steps; same labels:"
    " share of frames with the same decision; limit: the network's time over its roofline.",
)


SIZES = (f"{'other input sizes':44}{'M MACs':>7}{'hot':>7}{'p99':>7}{'30 fps':>7}{'p99':>7}"
         f"{'top-1':>9}")


class BenchmarkError(ValueError):
    """A benchmark that cannot be run or compared, in one sentence for the user."""


def table(report: Mapping[str, Any]) -> str:
    """The whole report as text."""
    parts = [_machine(report)]
    for network in report["networks"]:
        parts.append("\n".join([_facts(network), HEADING, *map(_line, network["rows"]),
                                *_peaks(network["peaks"])]))
    if report.get("sizes"):
        parts.append("\n".join([SIZES, *(_size_line(row, report) for row in report["sizes"])]))
    if report.get("accuracy"):
        parts.append(judged_lines(report["accuracy"]))
    if report.get("capacity"):
        parts.append("\n".join(["cameras served 30 times a second, p99 within 33 ms",
                                *map(_capacity, report["capacity"])]))
    if report["cold_starts"]:
        parts.append("\n".join(["fresh process of run_demo.py      first prediction   peak memory",
                                *map(_cold, report["cold_starts"])]))
    if report["demo"]:
        parts.append("\n".join(["whole demo, median ms a stage", *_demo(report["demo"])]))
    return "\n\n".join([*parts, "\n".join([*LEGEND, *report["warnings"]])]) + "\n"


def read_report(path: Path) -> dict[str, Any]:
    """An older report. Raises BenchmarkError for what is none."""
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _by_name(report)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{path} is no report of this benchmark: {error}") from error
    return report


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Each row that both reports have: times and ratios before and after."""
    before, after = _by_name(old), _by_name(new)
    lines = [f"since {old['date']}, on {old['machine']['cpu']}",
             f"{'':44}{'hot ms':>19}{'at 30 fps ms':>21}{'times faster than (a)':>25}"]
    for key in after:
        if key in before:
            was, now = before[key], after[key]
            lines.append(f"{key[1]:<44}{_change(_median(was, 'hot'), _median(now, 'hot')):>19}"
                         f"{_change(_median(was, 'paced'), _median(now, 'paced')):>21}"
                         f"{_change(was['ratios'].get('eager'), now['ratios'].get('eager')):>25}")
    gone = [name for network, name in before if (network, name) not in after]
    return "\n".join([*lines, *(f"{name}: no longer measured" for name in gone)]) + "\n"


def accuracy_of(report: Mapping[str, Any], row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the evaluation found for a row's engine, precision and size. float32 engines decide
    alike (which is measured, too), so one of them was judged."""
    judged = report.get("accuracy")
    for found in judged["rows"] if judged else []:
        if found["input_size"] == row["input_size"] and found["precision"] == row["precision"] and (
                row["precision"] == "fp32" or found["engine"] == row["engine"]):
            answer: Mapping[str, Any] = found
            return answer
    return None


def _size_line(row: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    hot, paced, judged = row["hot"], row["paced"], accuracy_of(report, row)
    cells = [f"{row['name']:<44}{row['macs'] / 1e6:7.1f}", _ms(hot["median_ms"]),
             _ms(hot["p99_ms"]), *([_ms(paced["median_ms"]), _ms(paced["p99_ms"])] if paced
                                   else [f"{'-':>7}"] * 2),
             f"{judged['top1']['value']:9.1%}" if judged else f"{'-':>9}"]
    return "".join(cells)


def judged_lines(judged: Mapping[str, Any]) -> str:
    """What `training.accuracy` found, for people."""
    lines = [f"accuracy on {judged['set']}, {judged['clips']} clips (95 % interval)"]
    for row in judged["rows"]:
        height, width = row["input_size"]
        one, same = row["top1"], row["agreement"]
        lines.append(f"{f'{height} x {width}, ' + row['engine'] + ' ' + row['precision']:<44}"
                     f"top-1 {one['value']:.1%}"
                     + (f" [{one['low']:.1%}, {one['high']:.1%}]" if one["low"] is not None else "")
                     + (f", decides as float32 on {same:.2%} of frames" if same else "")
                     + (f" (smoothed, as shown: {row['shown']:.2%})" if row.get("shown") else ""))
    return "\n".join(lines)


def _capacity(found: Mapping[str, Any]) -> str:
    name = f"{found['engine']} {found['precision']}, {found['device']}"
    network = found["network"]
    return (f"{name:<34}{found['whole']['largest']:5} (the curve bends at {found['whole']['bend']})"
            + (f"; the network alone {network['largest']}, bends at {network['bend']}"
               if network else ""))


def _by_name(report: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {(network["name"], row["name"]): row
            for network in report["networks"] for row in network["rows"]}


def _median(row: Mapping[str, Any], kind: str) -> float | None:
    return row[kind]["median_ms"] if row[kind] else None


def _change(was: float | None, now: float | None) -> str:
    if was is None or now is None:
        return "-"
    return f"{was:.2f} > {now:.2f} {(now / was - 1) * 100:+.0f} %"


def _machine(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (f"{machine['cpu']}, {machine['cores']} cores, GPU: "
            f"{'; '.join(machine['gpus']) or 'none'}\n{machine['system']}; {versions}\n"
            f"{report['date']}; frames {report['frame_size'][0]} x {report['frame_size'][1]} of "
            f"{report['source']}")


def _facts(network: Mapping[str, Any]) -> str:
    height, width = network["input_size"]
    accuracy = _accuracy(network["measured"])
    return (f"{network['name']} ({height} x {width}): {network['macs'] / 1e6:.1f} M MACs, "
            f"{network['weights'] / 1e6:.2f} M weights, {network['state_bytes'] / 1e3:.0f} kB of "
            f"state, {network['traffic_bytes'] / 1e6:.1f} MB read and written a frame"
            + (f"; {accuracy}" if accuracy else ""))


def _accuracy(measured: Mapping[str, Any]) -> str:
    return "; ".join(f"top-1 {value['top1']:.0%} ({name})" for name, value in measured.items()
                     if isinstance(value, Mapping) and "top1" in value)


def _line(row: Mapping[str, Any]) -> str:
    hot, paced, faithful = row["hot"], row["paced"], row["faithful"]
    stages = hot["stages_ms"]
    cells = [f"{row['name']:<44}", *_times(hot), *(_times(paced) if paced else [f"{'-':>7}"] * 3),
             f"{(paced or hot)['cpu_ms']:6.1f}",
             *(_ms(stages[s]) if s in stages else f"{'-':>7}"
               for s in ("preprocess", "network", "smoothing")),
             *(f"{row['ratios'][kind]:7.1f}" if kind in row["ratios"] else f"{'-':>7}"
               for kind in ANCHORS)]
    cells += ([f"{faithful['difference']:9.1g}", f"{faithful['agreement']:7.1%}"] if faithful
              else [f"{'-':>9}", f"{'-':>7}"])
    cells.append(f"{row['limit']['times_roofline']:6.1f}" if row["limit"] else f"{'-':>6}")
    return "".join(cells) + _energy(hot)


def _times(figures: Mapping[str, Any]) -> list[str]:
    return [_ms(figures[key]) for key in ("median_ms", "p90_ms", "p99_ms")]


def _ms(value: float) -> str:
    """Seven characters, with decimals where there is room for a space."""
    return f"{value:7.2f}" if value < 100 else f"{value:7.0f}"


def _energy(figures: Mapping[str, Any]) -> str:
    return "".join(f"  {figures[key] * 1e3:.0f} mJ ({key[:3]})" for key in ("cpu_j", "gpu_j")
                   if key in figures)


def _peaks(peaks: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"peak of {peak['precision']}, {peak['threads']} thread"
            f"{'s' if peak['threads'] > 1 else ''}: {peak['macs_per_s'] / 1e9:.0f} G MAC/s; copies "
            + ", ".join(f"{int(size) / 1e6:.2g} MB at {rate / 1e9:.0f} GB/s"
                        for size, rate in peak["bytes_per_s"].items()) for peak in peaks]


def _cold(start: Mapping[str, Any]) -> str:
    memory = start["peak_memory"]
    name = f"{start['engine']} {start['precision']}, {start['device']}"
    return (f"{name:<34}{start['median_s']:.2f} s (best {start['min_s']:.2f})"
            + (f"{memory / 1e6:10.0f} MB" if memory else f"{'-':>10}"))


def _demo(stages: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [f"{stage:<12}{row['median']:8.2f}" for stage, row in stages.items()]
