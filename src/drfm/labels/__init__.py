"""Neighbours, sparse Jaccard distances, DBSCAN, CPG, and the quality of pseudo-labels."""
