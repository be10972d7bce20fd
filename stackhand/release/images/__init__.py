"""The images of a release: built, in ECR, scanned, with a known origin, signed."""
