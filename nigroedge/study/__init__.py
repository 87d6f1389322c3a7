# SPDX-License-Identifier: Apache-2.0
"""The study: cohort tables, the statistics of predicted against measured SBR, and the report."""
