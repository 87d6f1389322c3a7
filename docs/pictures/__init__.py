# SPDX-License-Identifier: Apache-2.0
"""The pictures of the pages: `python -m docs.pictures [NAME …]` draws them, from simulated data.

Everything shown was made by the product itself: the patches are those that the model gets, the
numbers those that `nigroedge` prints. Needs pip install 'nigroedge[plots]'.
"""
