"""Galleries: images to be searched, each a unit vector with what is known of it."""
