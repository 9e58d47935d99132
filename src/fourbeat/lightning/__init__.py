"""The seam: every private or undocumented touch of Lightning, torch, torchmetrics and Hydra.

One documented function each, with a contract test each in ``tests/lightning`` that fails with a
sentence when a release changes what it stands on. Importing this package imports none of them.
"""
