# SPDX-License-Identifier: Apache-2.0
"""The torch side of nigroedge: train a regressor, write it as a model file, quantise it, check it.

Run from the repository as `python -m export …`. It imports nigroedge's public API, never the
reverse.
"""
