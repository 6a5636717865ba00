"""The documentation as a site: `make docs` builds it from docs/ into site/. Nothing of it is in the wheel."""
