"""Rendered people: free assets in, labelled webcam clips out."""
