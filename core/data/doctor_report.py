"""The doctor's report as text: findings with what to do next, and the arithmetic of disk and memory."""

from __future__ import annotations

from collections.abc import Sequence

from core.data.findings import Finding
from core.data.needs import Need

SMALL = 0.1e9  # bytes: lines below are shown as one


def show(findings: Sequence[Finding], *, title: str) -> str:
    """The report as text: per finding its status, and what to do where something is to be done."""
    marks = {"present": "ok     ", "missing": "MISSING", "wrong": "WRONG  ", "note": "note   "}
    lines = [title]
    for f in findings:
        lines.append(f"  {marks[f.status]}  {f.kind} {f.name}: {f.detail}")
        bad = f.status in ("missing", "wrong")
        told = (
            ("read by", readers(f.read_by)),
            ("licence", f.licence),
            ("where", f.where),
            ("next", f.next),
        )
        for what, text in told:
            if text and (what == "next" or bad):
                lines.append(f"             {what}: {text}")
    bad_ones = sum(f.status in ("missing", "wrong") for f in findings)
    lines.append(
        f"{bad_ones} of {len(findings)} missing or wrong" if bad_ones else f"all {len(findings)} in order"
    )
    return "\n".join(lines)


def show_needs(needs: Sequence[Need]) -> str:
    """The arithmetic as text: each part with its sum, then its lines; GB are 10^9 bytes."""
    lines = []
    for part in dict.fromkeys(need.part for need in needs):
        mine = [need for need in needs if need.part == part]
        total = "" if part.startswith("memory") else f" {gb(sum(need.bytes for need in mine))}"
        there = sum(need.there for need in mine)
        lines.append(f"{part}:{total}" + (f", {gb(there)} there" if there else ""))
        for need in mine:
            if need.unknown:
                lines.append(f"  {need.what}: {need.sum}; not counted in full: {need.unknown}")
            elif need.bytes >= SMALL:
                lines.append(f"  {need.what}: {need.sum} = {gb(need.bytes)}")
        small = [need.bytes for need in mine if need.bytes < SMALL and not need.unknown]
        if small:
            lines.append(f"  {len(small)} under {gb(SMALL)} each: {gb(sum(small))}")
    return "\n".join(lines)


def readers(addresses: Sequence[str]) -> str:
    """Stages in short: compa train@vanilla, shared_data bank; the first three and how many more."""
    short = [one.removeprefix("projects/").replace("/dvc.yaml:", " ") for one in addresses]
    return ", ".join(short[:3]) + (f" and {len(short) - 3} more" if short[3:] else "")


def gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
