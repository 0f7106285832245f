"""For tools that still call setup.py: what it would say is in pyproject.toml.

Only the licence is here, because no way to write it there suits both setuptools 66 and the newest.
"""

from setuptools import setup

setup(license="GPL-3.0-or-later")
