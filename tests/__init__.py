# SPDX-License-Identifier: Apache-2.0
"""Tests; each mirrors the module that it names."""
