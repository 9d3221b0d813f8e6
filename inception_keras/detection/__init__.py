"""Where objects are on a picture, by box: the nets of one paper or family a file."""
