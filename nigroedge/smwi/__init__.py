# SPDX-License-Identifier: Apache-2.0
"""SMWI from the magnitude and phase of a multi-echo gradient echo.

`reconstruct(MultiEcho(...))` gives an SmwiResult: a Volume that predict takes, with every stage.
Needs scipy: pip install 'nigroedge[smwi]'.
"""

from typing import TYPE_CHECKING

from nigroedge.lazy import lazily

if TYPE_CHECKING:
    from nigroedge.smwi.method import METHODS, Method
    from nigroedge.smwi.reconstruction import SmwiResult, reconstruct
    from nigroedge.smwi.scan import MultiEcho

__all__ = ["METHODS", "Method", "MultiEcho", "SmwiResult", "reconstruct"]

__getattr__ = lazily(
    __name__,
    {
        "METHODS": "method",
        "Method": "method",
        "MultiEcho": "scan",
        "SmwiResult": "reconstruction",
        "reconstruct": "reconstruction",
    },
)
