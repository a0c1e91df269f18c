"""One HTML file about everything below a storage root."""
