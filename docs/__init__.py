# SPDX-License-Identifier: Apache-2.0
"""Pages, and what makes the site and the pictures of them; no part of the package."""
