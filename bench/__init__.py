# SPDX-License-Identifier: Apache-2.0
"""Benchmarks; each asserts its answer before it is timed."""
