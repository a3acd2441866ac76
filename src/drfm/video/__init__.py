"""Person crops from a video or a folder of frames; without torch."""
