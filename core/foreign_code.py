"""Checkpoints may bring code of their own (`auto_map`), which is never run here: it could do anything.

Every `Auto*.from_pretrained` therefore gets trust_remote_code=False; without it transformers asks at the
terminal, and runs the code on "y".
"""

from __future__ import annotations


def reason_of(error: BaseException) -> str:
    """Why transformers could not open something; where it wants to run foreign code, without that advice."""
    said = " ".join(str(error).split())
    if "trust_remote_code" not in said:
        return said
    return (
        "it needs code that lies beside its weights (auto_map), and such code is never run here: take a "
        "checkpoint of a class that transformers has itself, or update transformers"
    )
