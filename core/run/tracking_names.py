"""Names and texts as MLflow takes them, so that no value is refused, or written over another one's."""

from __future__ import annotations

import re
import threading

LONGEST_NAME = 250  # characters: MLflow's limit


class Names:
    """The names of one run: each is made fit, and two that would become one are told apart."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}  # as logged -> as sent
        self._taken: set[str] = set()
        self._lock = threading.Lock()  # the sampler of the machine logs as well

    def fit(self, name: str) -> str:
        """Return what `name` is called in MLflow, always the same: "R@1 (%)" is "R_1 ___", and a second name
        that becomes this is "R_1 ____2"."""
        with self._lock:
            if name not in self._given:
                plain = fit_name(name)
                fitted, number = plain, 1
                while fitted in self._taken:
                    number += 1
                    fitted = f"{plain[: LONGEST_NAME - len(str(number)) - 1]}_{number}"
                self._given[name] = fitted
                self._taken.add(fitted)
            return self._given[name]


def fit_name(name: str) -> str:
    """Return `name` with "_" for what MLflow does not allow, and as the path to a file that it must be:
    without "//", "." and "..", "/" at an end. Nothing at all becomes "_"."""
    parts = re.sub(r"[^\w./: -]", "_", name).split("/")
    path = "/".join(re.sub(r"^(\.+$|\.\.)", lambda dots: "_" * len(dots[0]), part) for part in parts if part)
    if len(path) > LONGEST_NAME:
        path = path[:LONGEST_NAME].rstrip("/.")
    return path or "_"


def cut(text: str, limit: int) -> str:
    """Return `text`, or its beginning and a note that it was cut. Half of a surrogate pair becomes "?"."""
    text = text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")
    if len(text) <= limit:
        return text
    note = f" ... [cut: {len(text)} characters]"
    return text[: limit - len(note)] + note
