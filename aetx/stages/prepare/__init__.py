"""Images to images: background, intensity, noise."""
