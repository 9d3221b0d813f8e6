"""The architectures, one paper or family per file. `zoo.py` lists them."""
