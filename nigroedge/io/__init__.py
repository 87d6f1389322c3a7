# SPDX-License-Identifier: Apache-2.0
"""Read files: images into volumes (nifti), landmarks into millimetres (landmarks)."""
