# SPDX-License-Identifier: Apache-2.0
"""Read files: images into volumes, landmarks into millimetres."""
