"""Encoders by name, cross-resolution feature fusion, predictor, weights in and out."""
