"""Tests track nothing, unless they are about tracking."""

import os

os.environ.setdefault("RESOUND_TRACKING", "off")
