"""Drawn photographs: lit objects on textured grounds, with the box of every labelled object known exactly."""
