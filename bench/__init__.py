# SPDX-License-Identifier: Apache-2.0
"""Benchmarks. A package, so that a bench may have the name of the test beside it."""
