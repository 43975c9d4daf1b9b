"""What the commands exit with, beside 0."""

from __future__ import annotations

from typing import Final

FAILED: Final = 1
"""It could not be done, or the answer is no."""
USAGE: Final = 2
"""The arguments do not fit, as argparse has it; also where there is nothing that they could mean."""
CONFIGURATION_ERROR: Final = 78
"""A bad configuration (``EX_CONFIG`` of sysexits.h); service managers do not restart on it."""
