"""Weeks of bad luck in minutes: the parts that place, keep and reach models, run under a virtual clock and one seed.

python -m ringfence.simulation --seed 7 --hours 20 --busy
"""
