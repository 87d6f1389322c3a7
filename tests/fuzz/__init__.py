# SPDX-License-Identifier: Apache-2.0
"""Fuzz targets, their seeds, and a short run of them."""
