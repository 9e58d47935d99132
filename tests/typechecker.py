"""What the import hook in conftest.py checks annotations with."""

from beartype import BeartypeConf, beartype

# An int is a float where PEP 484 says so: YAML writes 0 for 0.0.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
