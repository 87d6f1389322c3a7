# SPDX-License-Identifier: Apache-2.0
"""The study: cohort tables, the statistics of predicted against measured SBR, and the report.

`concordance` and `scores` need numpy alone, the other statistics scipy, the report matplotlib too:
pip install 'nigroedge[plots]'.
"""

from typing import TYPE_CHECKING

from nigroedge.lazy import lazily

if TYPE_CHECKING:
    from nigroedge.study.evaluation import Evaluation, evaluate
    from nigroedge.study.images import check_images
    from nigroedge.study.residual import residuals, scores
    from nigroedge.study.rho_c import concordance, fisher_interval, lin_interval
    from nigroedge.study.table import Row, read_table, write_table

__all__ = [
    "Evaluation",
    "Row",
    "check_images",
    "concordance",
    "evaluate",
    "fisher_interval",
    "lin_interval",
    "read_table",
    "residuals",
    "scores",
    "write_table",
]

__getattr__ = lazily(
    __name__,
    {
        "Evaluation": "evaluation",
        "Row": "table",
        "check_images": "images",
        "concordance": "rho_c",
        "evaluate": "evaluation",
        "fisher_interval": "rho_c",
        "lin_interval": "rho_c",
        "read_table": "table",
        "residuals": "residual",
        "scores": "residual",
        "write_table": "table",
    },
)
