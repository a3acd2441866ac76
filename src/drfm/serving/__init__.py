"""The search page: a gallery and a bundle behind a small web service, for one machine and its user."""
