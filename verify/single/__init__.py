"""Bounds of one network over a region: of every layer, and of linear forms of its outputs."""
