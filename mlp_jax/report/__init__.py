"""What studies, runs and networks look like: figures and the page that holds them."""
