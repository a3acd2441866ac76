"""Memories, losses, samplers, augmentation on the device, grouped BatchNorm."""
