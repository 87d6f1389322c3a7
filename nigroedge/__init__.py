# SPDX-License-Identifier: Apache-2.0
"""Striatal dopamine-transporter binding ratio from a midbrain SMWI, in milliseconds on any CPU.

Research use only. Not for diagnosis.
"""

from nigroedge.embed import get_cmake_dir, get_include, get_library

__all__ = ["get_cmake_dir", "get_include", "get_library"]
__version__ = "0.1.0"
