"""One paper or family a file; `zoo.py` is their table."""
