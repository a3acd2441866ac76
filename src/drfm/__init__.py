"""DRFM: unsupervised cross-resolution person re-identification.

The rooms, in the order in which data walks through them, are described in
``docs/architecture.md``. Importing :mod:`drfm` imports none of them.
"""

__version__ = "0.1.0"
