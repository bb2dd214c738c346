"""How fast it is, as ratios measured in one run on one machine. `python -m benchmarks --help` lists the programs."""
