"""``geo-assets doctor``: looks at all that a run needs and says what to do."""
