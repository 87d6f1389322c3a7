# SPDX-License-Identifier: Apache-2.0
"""The study: cohort tables, the statistics of predicted against measured SBR, and the report."""

from nigroedge.study.concordance import concordance, fisher_interval, lin_interval
from nigroedge.study.evaluation import Evaluation, evaluate
from nigroedge.study.residual import residuals, scores
from nigroedge.study.table import Row, check_images, read_table, write_table

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
