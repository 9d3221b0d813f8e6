"""Where things are on a picture, pixel by pixel: fully convolutional nets."""
