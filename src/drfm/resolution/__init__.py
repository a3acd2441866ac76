"""Down-sampling, super-resolution, and the image store that holds every pair decoded once."""
