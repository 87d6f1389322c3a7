# SPDX-License-Identifier: Apache-2.0
"""The site: `python -m docs.site FOLDER` makes it of the pages, the parsers and the docstrings.

What is not written by hand is made here and never typed twice: a page for each command, the pages
of the Python interface, and the files of the repository to which a page links. The site opens from
a folder without a network. A broken link, a missing anchor, a page that no menu reaches, and
whatever a page would load from elsewhere end the program with exit code 1.
"""
